# SPDX-License-Identifier: MIT
"""The file systems compared: each mounts the same bytes somewhere and says which file to read.

Only what is mounted here is unmounted, and each system undoes what it began, in any order.
"""
import os
import shutil
import subprocess
import tempfile
import time

from data import Failed, must

READAHEAD = 4 << 20  # what entrofs asks the kernel for by default; the null server asks for the same
MOUNT_SECONDS = 30
BUSY_SECONDS = 10


class System:
    """A file to read. pid: of the daemon, None where the kernel does it all. image: what should be cached with
    a warm image, None where it is read past the page cache."""

    def __init__(self, name, variant, path, image=None):
        self.name, self.variant, self.path, self.image = name, variant, path, image
        self.pid = None

    @property
    def label(self):
        return f"{self.name} {self.variant}".strip()

    def start(self):
        """Makes the file readable."""

    def stop(self):
        """Undoes start(), also if that failed half-way."""


def unmount(mountpoint):
    """Busy for a moment may be what a reader was ended in."""
    for patience in range(BUSY_SECONDS, -1, -1):
        if not os.path.ismount(mountpoint):
            return
        try:
            must(*(["umount"] if os.getuid() == 0 else ["fusermount3", "-u"]), mountpoint)
        except Failed:
            if not patience:
                raise
            time.sleep(1)


class Mount(System):
    """Something mounted on a folder of its own below `below`."""

    def __init__(self, name, variant, below, inner, image=None):
        self.mountpoint = os.path.join(below, f"{name}{variant}")
        super().__init__(name, variant, os.path.join(self.mountpoint, inner), image)

    def stop(self):
        unmount(self.mountpoint)
        if os.path.isdir(self.mountpoint):
            os.rmdir(self.mountpoint)


class Daemon(Mount):
    """A FUSE server that stays in the foreground."""

    def __init__(self, name, variant, below, inner, image, command):
        super().__init__(name, variant, below, inner, image)
        self.command = [*command, self.mountpoint]
        self.process = None

    def start(self):
        os.mkdir(self.mountpoint)
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT)
            self.pid = self.process.pid
            end = time.monotonic() + MOUNT_SECONDS
            while not os.path.ismount(self.mountpoint):
                if self.process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise Failed(f"cannot mount {self.label}: {log.read().strip()[-300:] or 'it took too long'}")
                time.sleep(0.01)

    def stop(self):
        super().stop()
        if self.process:
            try:
                self.process.wait(MOUNT_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = self.pid = None


class Kernel(Mount):
    """A file system of the kernel, on a loop device."""

    def __init__(self, name, variant, below, image):
        super().__init__(name, variant, below, "data", image)

    def start(self):
        os.mkdir(self.mountpoint)
        must("mount", "-t", self.name, "-o", "loop,ro", self.image, self.mountpoint)


def entrofs_command(program, options, image):
    return [program, "-f", *(["-o", options] if options else []), image]


def entrofs(build, options, data, below, variant=""):
    cached = data.image if "cache=compressed" in options else None
    return Daemon("entrofs", variant, below, data.kind.view, cached,
                  entrofs_command(os.path.join(build, "entrofs"), options, data.image))


def why_not_kernel(name):
    if os.getuid() != 0:
        return "mounting it needs root"
    with open("/proc/filesystems", encoding="utf-8") as file:
        known = file.read().split()
    if name not in known and subprocess.run(["modprobe", "-q", name], check=False).returncode:
        return "this kernel has no such file system"
    return None


def compressed(data, below):
    """(system or None, why not) of the peers."""
    for block, image in data.squashfs.items():
        reason = None if os.path.exists(image) else "no image: mksquashfs (squashfs-tools) was not installed"
        fuse = reason or (None if shutil.which("squashfuse") else "squashfuse is not installed")
        yield Daemon("squashfuse", block, below, "data", image, ["squashfuse", "-f", image]), fuse
        yield Kernel("squashfs", block, below, image), reason or why_not_kernel("squashfs")
    reason = None if os.path.exists(data.erofs) else "no image: mkfs.erofs (erofs-utils) was not installed"
    yield Kernel("erofs", "", below, data.erofs), reason or why_not_kernel("erofs")


def listed(arguments, data, below):
    """(system, why it cannot be measured or None) of all of them, in the order of the report."""
    yield entrofs(arguments.build, arguments.mount_options, data, below), None
    for number, build in enumerate(arguments.against):
        yield entrofs(build, arguments.mount_options, data, below, f"against{number + 1}"), None
    null = os.path.join(arguments.build, "benchmarks/nullfs")
    yield Daemon("null", "", below, "data", None, [null, str(data.size), str(READAHEAD)]), None
    yield System("plain", "", data.plain), None
    yield System("odirect", "", data.image), None
    yield from compressed(data, below)
