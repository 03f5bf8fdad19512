#!/bin/bash
# SPDX-License-Identifier: MIT
# Instructions per decoded byte of the arm64 build, counted under emulation, next to those of Debian's
# arm64 zstd over the same bytes. No chip is needed, and counts repeat exactly; what a chip makes of
# an instruction, they do not tell.
#
#   benchmarks/arm64/instructions.sh [CPU]    a model that qemu-aarch64 knows; cortex-a57
set -euo pipefail
cd "$(dirname "$0")/../.."

cpu=${1:-cortex-a57}
triple=aarch64-linux-gnu
sysroot=$PWD/build/sysroot-$triple
program=build/$triple/benchmarks/instructions
plugin=build/benchmarks/icount.so

for tool in $triple-gcc qemu-aarch64; do
	if ! command -v "$tool" > /dev/null; then
		echo "skipped: instructions on arm64: no $tool (make deps-dev)"
		exit 0
	fi
done
tests/arm64/sysroot.sh "$sysroot"
make --silent CROSS=$triple $program > /dev/null
mkdir -p build/benchmarks
gcc -O2 -Wall -Wextra -shared -fPIC -o $plugin benchmarks/arm64/icount.c

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ICOUNT_OUT=$work/counts qemu-aarch64 -L "$sysroot" -cpu "$cpu" -plugin "$PWD/$plugin" $program > "$work/runs"

echo "## Instructions per byte, arm64 ($(qemu-aarch64 --version | head -1), $cpu)"
for data in gauss-u8 gauss-u4; do
	echo
	echo "| $data | instructions a byte | of zstd -3 |"
	echo "| --- | ---: | ---: |"
	# Marks come in pairs, one pair a run; a peer counts in the frame size that takes it least.
	paste "$work/runs" <(paste - - < "$work/counts") | awk -v data=$data '
		{ count = $6 - $5 }
		$1 == "nothing" { mark = count }
		$1 == data {
			name = $2 ~ /entrofs/ ? $2 ", " $3 : $2
			each = (count - mark) / $4
			if (!(name in least)) names[++n] = name
			if (!(name in least) || each < least[name]) least[name] = each
		}
		END {
			for (i = 1; i <= n; i++)
				printf "| %s | %.3f | %.3f |\n", names[i], least[names[i]], least[names[i]] / least["zstd-3"]
		}'
done
