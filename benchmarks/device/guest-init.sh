#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: MIT
# The init of the emulated arm64 machine: compares every byte that a mount shows, then reads the whole
# model, plain and mounted, in turns. Disks: the image; the plain file of all weights. /settings is the
# host's: plain_size, drive_size (whole sectors), rounds. What the host reads begins with @@.
/bin/busybox mkdir -p /bin /proc /sys /dev /tmp /mnt
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec > /dev/ttyAMA0 2>&1
mkdir -p /dev/shm
mount -t tmpfs tmpfs /tmp
for module in fuse virtio_mmio virtio_blk; do insmod /mod/$module.ko; done
i=0
while [ ! -b /dev/vdb ] && [ $i -lt 100 ]; do
	sleep 0.1
	i=$((i + 1))
done
plain_size=0 drive_size=0 rounds=0
# shellcheck source=/dev/null # made by the host
. /settings

# The drives' order is the host's, but virtio may number them the other way round.
image=/dev/vda plain=/dev/vdb
if [ "$(blockdev --getsize64 /dev/vda)" = "$drive_size" ]; then
	image=/dev/vdb plain=/dev/vda
fi
whole=/mnt/quantized/model.safetensors

mount_image() {
	echo 3 > /proc/sys/vm/drop_caches
	entrofs -f -o stats $image /mnt &
	daemon=$!
	i=0
	while ! grep -q " /mnt fuse" /proc/mounts && [ $i -lt 300 ]; do
		sleep 0.1
		i=$((i + 1))
	done
	ls /mnt/quantized > /dev/null
}
unmount_image() {
	umount /mnt
	wait $daemon
}
timed() { # NAME FILE: hundredths of a second
	local from to
	from=$(cut -d' ' -f1 /proc/uptime | tr -d .)
	dd if="$2" of=/dev/null bs=1M 2> /dev/null || echo "@@ failed reading $2"
	to=$(cut -d' ' -f1 /proc/uptime | tr -d .)
	echo "@@ $1 $((to - from))"
}

echo "@@ decoder $(entrofs --version | grep decoder:)"
echo "@@ processors $(grep -c ^processor /proc/cpuinfo)"
echo "@@ kernel $(uname -r)"
mount_image
if (cd /mnt && sha256sum -c -s /sums); then
	echo "@@ same $(wc -l < /sums)"
fi
if head -c "$plain_size" $plain | cmp - $whole; then
	echo "@@ same bytes"
fi
unmount_image
round=0
while [ $round -lt "$rounds" ]; do
	echo 3 > /proc/sys/vm/drop_caches
	timed plain $plain
	mount_image
	timed entrofs $whole
	unmount_image
	round=$((round + 1))
done
echo "@@ done"
poweroff -f
