#!/bin/bash
# SPDX-License-Identifier: MIT
# Formatting, licence lines, static analysis, and the warnings of both compilers.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

passed=0 failed=0 skipped=0
check() { # NAME COMMAND...: a check fails by its exit status or, for quiet tools, by what it prints
	local name=$1
	shift
	local out
	if out=$("$@" 2>&1); then
		passed=$((passed + 1))
		echo "ok     lint: $name"
	else
		failed=$((failed + 1))
		printf 'FAILED lint: %s\n%s\n' "$name" "$(echo "$out" | tail -40)"
	fi
}
need() {
	command -v "$1" > /dev/null && return 0
	skipped=$((skipped + 1))
	echo "skipped: lint: no $1 (make deps-dev)"
	return 1
}

mapfile -t sources < <(git ls-files '*.c' '*.h')
mapfile -t analysed < <(git ls-files {codec,image,quantizer,mkfs,fs}/'*.c' | grep -v codec/arm)
mapfile -t pages < <(git ls-files 'man/*')
read -ra fuse_flags < <(pkg-config --cflags fuse3)
mapfile -t scripts < <(git ls-files '*.sh' .ci/run)

spdx() {
	local missing
	missing=$(git ls-files '*.c' '*.h' '*.sh' '*.py' '*.js' '*.mjs' '*.css' '*.html' Makefile .ci/run | xargs grep -L SPDX-License-Identifier)
	[ -z "$missing" ] || { echo "no SPDX line: $missing"; return 1; }
}
unfinished() { # the brackets keep the pattern from finding itself
	! grep -nE '\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b' "${sources[@]}"
}
direction() { # one direction of dependency: codec <- image <- mkfs, fs; quantizer <- mkfs
	! grep -nE '#include "(image|quantizer|mkfs|fs)/' codec/*.[ch] codec/*/*.[ch] &&
		! grep -nE '#include "(quantizer|mkfs|fs)/' image/*.[ch] &&
		! grep -nE '#include "(codec|image|mkfs|fs)/' quantizer/*.[ch] &&
		! grep -nE '#include "(quantizer|mkfs)/' fs/*.[ch] &&
		! grep -nE '#include "(codec|image|quantizer|mkfs|fs)/' runtime-demo/*.[ch] &&
		! grep -nE '#include <fuse' codec/*.[ch] image/*.[ch] quantizer/*.[ch] mkfs/*.[ch] &&
		! grep -nE '#include <zstd' codec/*.[ch] quantizer/*.[ch] mkfs/*.[ch] fs/*.[ch]
}
warnings() { # CC
	make CC="$1" BUILD="build/lint-$1" CFLAGS=-Werror all tests
}
tidy() {
	printf '%s\n' "${analysed[@]}" | xargs -P "$(nproc)" -I {} clang-tidy --quiet {} -- \
		-std=c11 -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DENTROFS_VERSION='""' -mavx2 -mbmi2 \
		-mavx512f -mavx512bw -mavx512dq -mavx512vbmi -mavx512vbmi2 -mavx512vpopcntdq -mvpclmulqdq \
		"${fuse_flags[@]}"
}
cpp_check() {
	cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 \
		--suppress=missingIncludeSystem -I. -D__BYTE_ORDER__=1 -D__ORDER_LITTLE_ENDIAN__=1 -D__cppcheck__=1 \
		-j"$(nproc)" codec image quantizer mkfs fs runtime-demo
}

check "SPDX lines" spdx
check "nothing left to do in the code" unfinished
check "one direction of dependency" direction
need clang-format && check "formatting" clang-format --dry-run -Werror "${sources[@]}"
need gcc && check "no warnings with gcc" warnings gcc
need clang && check "no warnings with clang" warnings clang
need clang-tidy && check "clang-tidy" tidy
need cppcheck && check "cppcheck" cpp_check
need shellcheck && check "shellcheck" shellcheck "${scripts[@]}"
[ ${#pages[@]} = 0 ] || { need mandoc && check "mandoc" mandoc -Tlint -Wwarning "${pages[@]}"; }

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
