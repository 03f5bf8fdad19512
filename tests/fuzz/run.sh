#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs each fuzz target under libFuzzer with ASan and UBSan, from its committed corpus:
#
#   tests/fuzz/run.sh SECONDS [TARGET...]
#
# What it finds new is kept in build/fuzz/TARGET.corpus; a crash leaves its input there and ends with 1.
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
	mkdir -p "$build/$name.corpus"
	dictionary=()
	[ ! -e "tests/fuzz/$name.dict" ] || dictionary=(-dict="tests/fuzz/$name.dict")
	echo "fuzz: $name for $seconds s"
	"$build/fuzz-$name" "${dictionary[@]}" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 \
		-verbosity=0 -artifact_prefix="$build/$name." \
		"$build/$name.corpus" "tests/fuzz/corpus/$name"
done
