#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs each fuzz target under libFuzzer with ASan and UBSan, from its committed corpus:
#
#   tests/fuzz/run.sh SECONDS [TARGET...]
#
# As many at a time as there are processors. What one finds new is kept in build/fuzz/TARGET.corpus; a crash
# leaves its input there, and the exit status is not 0.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-60}
shift || true
build=build/fuzz
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
	for source in tests/fuzz/*.c; do
		name=$(basename "$source" .c)
		[ "$name" = replay ] || targets+=("$name")
	done
fi

# fuzzer-no-link instruments the libraries; the target itself brings libFuzzer's main.
flags="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all"
libraries=("$build"/lib{demo,mkfs,quantizer,image,codec}.a)
make CC=clang BUILD=$build CFLAGS="$flags" "${libraries[@]}"
for name in "${targets[@]}"; do
	make CC=clang BUILD=$build CFLAGS="$flags" "$build/tests/fuzz/$name.o"
	clang -fsanitize=fuzzer,address,undefined -o "$build/fuzz-$name" "$build/tests/fuzz/$name.o" \
		"${libraries[@]}" -lzstd -lisal -lcrypto -ljansson -lm -pthread
done

fuzz() { # NAME
	local dictionary=() status=0
	mkdir -p "$build/$1.corpus"
	[ ! -e "tests/fuzz/$1.dict" ] || dictionary=(-dict="tests/fuzz/$1.dict")
	"$build/fuzz-$1" "${dictionary[@]}" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 \
		-verbosity=0 -artifact_prefix="$build/$1." \
		"$build/$1.corpus" "tests/fuzz/corpus/$1" > "$build/$1.log" 2>&1 || status=$?
	echo "fuzz: $1 for $seconds s"
	cat "$build/$1.log"
	return $status
}
export -f fuzz
export build seconds
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I {} bash -c 'fuzz {}'
