#!/bin/bash
# SPDX-License-Identifier: MIT
# The arm64 build, tested without an arm64 machine: unit tests and fuzz replays under emulation, images
# byte-identical to the native ones, and a real mount served by the emulated daemon's NEON decoder.
set -euo pipefail
cd "$(dirname "$0")/../.."

triple=aarch64-linux-gnu
build=build/$triple
sysroot=build/sysroot-$triple

skip() {
	echo "skipped: arm64: $1"
	echo "0 passed, 0 failed, 1 skipped"
	exit 0
}
if [ "$(uname -m)" = aarch64 ]; then
	exec make check # this is an arm64 machine: the plain tests are the real thing
fi
command -v $triple-gcc > /dev/null || skip "no $triple-gcc (make deps-dev)"
command -v qemu-aarch64-static > /dev/null || skip "no qemu-aarch64-static (make deps-dev)"

tests/arm64/sysroot.sh $sysroot
make all tests
make CROSS=$triple all tests

export QEMU_LD_PREFIX=$PWD/$sysroot QEMU_CPU=cortex-a57
log=$(mktemp)
work=$(mktemp -d)
mnt=$work/mnt
daemon=
cleanup() {
	if [ -n "$daemon" ]; then
		kill "$daemon" 2> /dev/null || true
		wait "$daemon" 2> /dev/null || true
	fi
	if mountpoint -q "$mnt"; then fusermount3 -uz "$mnt" || umount -l "$mnt"; fi
	rm -rf "$work" "$log"
}
trap cleanup EXIT

# Each check runs in its own bash and ends in one line; the tally adds to the unit tests'.
passed=0 failed=0 skipped=0
check() {
	local what=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
		echo "ok     arm64: $what"
	else
		failed=$((failed + 1))
		echo "FAILED arm64: $what"
	fi
}
arm() {
	local program=$1
	shift
	qemu-aarch64-static "$build/$program" "$@"
}

if tests/arm64/with-binfmt.sh true 2> /dev/null; then
	tests/arm64/with-binfmt.sh /usr/bin/python3 tests/run.py --build $build tests/unit/ tests/fuzz/ |
		tee "$log" | sed '/^[0-9]* passed, /d' || true # their tally goes into the last line
	read -r passed failed skipped < <(sed -n \
		's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$log")
else
	echo "skipped: arm64 unit tests: user namespaces or binfmt_misc cannot be used here"
	skipped=1
fi

uses_neon() {
	arm entrofs --version | grep -q neon
}
same_image() { # BITS
	build/mkentrofs --bits "$1" runtime-demo/model "$work/native$1.efs" > /dev/null &&
		arm mkentrofs --bits "$1" runtime-demo/model "$work/arm$1.efs" > /dev/null &&
		cmp "$work/native$1.efs" "$work/arm$1.efs"
}
same_tables() { # the choice of code tables, of a model that gives it more to do than ours
	(cd tests && /usr/bin/python3 -c 'import modellib, sys
modellib.write_model(sys.argv[1], modellib.spread_tensors())' "$work/spread") &&
		build/mkentrofs "$work/spread" "$work/spread.efs" > /dev/null &&
		arm mkentrofs "$work/spread" "$work/arm-spread.efs" > /dev/null &&
		cmp "$work/spread.efs" "$work/arm-spread.efs" &&
		build/dump.entrofs --tables "$work/spread.efs" | grep '^  table 4 ' > /dev/null
}
served_right() { # BITS: the emulated daemon's mount against the native extraction
	local tree=$work/tree$1
	mkdir -p "$mnt"
	build/fsck.entrofs --quiet --extract="$tree" "$work/native$1.efs" || return 1
	arm entrofs -f "$work/arm$1.efs" "$mnt" &
	daemon=$!
	for _ in $(seq 100); do
		mountpoint -q "$mnt" && break
		sleep 0.1
	done
	diff -r "$tree" "$mnt" && [ -n "$(ls "$mnt/quantized/tensors")" ] || return 1
	fusermount3 -u "$mnt"
	wait "$daemon" || return 1
	daemon=
}
same_text() { # and the same logits, to the last bit
	local native emulated
	local options=(--prompt "It was" --tokens 8 --temp 0.8 --top-k 40 --top-p 0.95 --seed 7)
	native=$(build/entrofs-run "$work/tree8" "${options[@]}" --logits "$work/native") || return 1
	emulated=$(arm entrofs-run "$work/tree8" "${options[@]}" --logits "$work/emulated") || return 1
	[ -n "$native" ] && [ "$emulated" = "$native" ] && cmp "$work/native" "$work/emulated"
}

check "the daemon chooses the NEON kernel" uses_neon
for bits in 8 4; do
	check "uint$bits image identical to the native one" same_image $bits
	if [ -w /dev/fuse ]; then
		check "uint$bits mount served by NEON, every byte compared" served_right $bits
	else
		skipped=$((skipped + 1))
		echo "skipped: arm64 mount: /dev/fuse cannot be used here"
	fi
done
check "image with several code tables for a tensor identical to the native one" same_tables
check "entrofs-run writes the same text" same_text

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
