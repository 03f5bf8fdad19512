#!/bin/bash
# SPDX-License-Identifier: MIT
# demo.sh BUILD - the whole way in under a minute: packs the bundled model, mounts the image, lets a
# program that knows nothing of images write English from the mount, compares every mounted byte with
# what fsck.entrofs extracts, and unmounts. Without a usable /dev/fuse the extracted folder stands in.
set -euo pipefail

if [ $# -ne 1 ]; then
	echo 'usage: demo.sh BUILD' >&2
	exit 2
fi
build=$(cd "$1" && pwd)
model=$(cd "$(dirname "$0")/model" && pwd)
work=$(mktemp -d)
mkdir "$work/mnt"
cd "$work"

mounted() {
	findmnt --mountpoint "$work/mnt" > "$work/findmnt"
}
cleanup() {
	if mounted; then fusermount3 -uz "$work/mnt" || umount -l "$work/mnt"; fi
	cd /
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

title() {
	printf '\n--- %s\n' "$1"
}
fail() {
	echo "demo.sh: $1" >&2
	exit 1
}
bytes() { # of one file
	stat -L -c %s "$1"
}
milliseconds_since() { # a time in nanoseconds
	awk -v ns=$(($(date +%s%N) - $1)) 'BEGIN { printf "%.1f ms", ns / 1e6 }'
}

title 'mkentrofs runtime-demo/model model.efs'
"$build/mkentrofs" "$model" model.efs

title 'mkentrofs --bits 4 runtime-demo/model model4.efs'
"$build/mkentrofs" --bits 4 "$model" model4.efs

title 'fsck.entrofs --extract=extracted model.efs'
"$build/fsck.entrofs" --extract=extracted model.efs

folder=mnt
title 'entrofs model.efs mnt'
if [ ! -c /dev/fuse ] || [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
	folder=extracted
	echo '/dev/fuse cannot be used here: going on with the extracted folder instead of a mount'
else
	start=$(date +%s%N)
	if "$build/entrofs" model.efs mnt 2> log; then
		echo "mounted in $(milliseconds_since "$start"), the start of the program included"
	elif grep -qiE 'not permitted|permission denied|no such device' log; then
		cat log
		folder=extracted
		echo 'mounting is not allowed here: going on with the extracted folder instead of a mount'
	else
		cat log >&2
		fail 'cannot mount the image'
	fi
fi

title "ls -R $folder"
ls -R "$folder"

title 'entrofs-run --prompt "It was" --tokens 100 --stats'
"$build/entrofs-run" "$folder" --prompt 'It was' --tokens 100 --stats
title 'entrofs-run --prompt "The captain" --tokens 60 --temp 0.5 --seed 7'
"$build/entrofs-run" "$folder" --prompt 'The captain' --tokens 60 --temp 0.5 --seed 7

if [ "$folder" = mnt ]; then
	title 'every mounted file against the extracted one, byte for byte'
	tensors=0 total=0
	for file in mnt/quantized/tensors/*; do
		cmp "$file" "extracted/quantized/tensors/${file##*/}" || fail "$file differs"
		tensors=$((tensors + 1))
		total=$((total + $(bytes "$file")))
	done
	[ "$tensors" -gt 0 ] || fail 'no tensor is mounted'
	echo "$tensors tensors, $total bytes: equal"
	diff -r mnt extracted || fail 'the trees differ'
	echo 'both trees, all other files: equal'
	for file in "$model"/*.json; do
		cmp "$file" "mnt/${file##*/}" || fail "$file differs"
	done
	echo 'sidecars against their source: equal'

	title 'fusermount3 -u mnt'
	fusermount3 -u mnt || fail 'cannot unmount'
	if mounted; then fail 'it is still mounted'; fi
	echo 'unmounted'
fi
