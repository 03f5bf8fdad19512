# SPDX-License-Identifier: MIT
"""A group of processes whose storage is slow and whose memory is small: control groups, version 1 or 2.

Every process of a run belongs to the group: what the daemon reads from the image is charged to the
daemon, the pages of mounted files to who reads them. The group counts what it read from storage.
"""
import errno
import glob
import os
import signal
import time

REMOVAL = 10  # seconds that the kernel may take to let go of a group


class Unusable(Exception):
    """Why no such group can be made here."""


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def disk_of(path):
    """MAJOR:MINOR of the whole disk on which a folder lies: a partition cannot be throttled."""
    device = os.stat(path).st_dev
    name = f"{os.major(device)}:{os.minor(device)}"
    folder = f"/sys/dev/block/{name}"
    if not os.path.isdir(folder):
        raise Unusable(f"'{path}' lies on no disk of its own (device {name}): choose another --work")
    if os.path.exists(f"{folder}/partition"):
        name = read(f"{os.path.realpath(folder)}/../dev").strip()
    return name


def read_ahead(disk):
    """KiB that the kernel reads ahead of readers of a disk's files."""
    return int(read(f"/sys/dev/block/{disk}/queue/read_ahead_kb"))


def hierarchies():
    """(type, mount point, options) of the control groups that are mounted."""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        for line in file:
            _, point, kind, options = line.split()[:4]
            if kind in ("cgroup", "cgroup2"):
                yield kind, point, options.split(",")


class Version1:
    """blkio.throttle.read_bps_device and memory.limit_in_bytes, in two hierarchies."""

    def __init__(self, name):
        self.folders = []
        points = {}
        for kind, point, options in hierarchies():
            if kind == "cgroup":
                points.update({word: point for word in options if word in ("blkio", "memory")})
        for word in ("blkio", "memory"):
            if word not in points:
                raise Unusable(f"no control group of '{word}' is mounted")
        self.blkio, self.memory = (f"{points[word]}/{name}" for word in ("blkio", "memory"))
        if not os.path.exists(f"{points['blkio']}/blkio.throttle.read_bps_device"):
            raise Unusable("the kernel cannot throttle (CONFIG_BLK_DEV_THROTTLING)")
        make_folders(self.folders, self.blkio, self.memory)

    def limit(self, disk, rate, memory):
        write(f"{self.blkio}/blkio.throttle.read_bps_device", f"{disk} {rate}")
        write(f"{self.memory}/memory.swappiness", "0")
        write(f"{self.memory}/memory.limit_in_bytes", str(memory or -1))

    def bytes_read(self, disk):
        for line in read(f"{self.blkio}/blkio.throttle.io_service_bytes").splitlines():
            words = line.split()
            if words[:2] == [disk, "Read"]:
                return int(words[2])
        return 0

    def peak_memory(self):
        return int(read(f"{self.memory}/memory.max_usage_in_bytes"))

    def empty(self):
        write(f"{self.memory}/memory.force_empty", "1")


class Version2:
    """io.max and memory.max of one group."""

    def __init__(self, name):
        self.folders = []
        points = [point for kind, point, _ in hierarchies() if kind == "cgroup2"]
        if not points:
            raise Unusable("no control groups are mounted")
        root = points[0]
        for word in ("io", "memory"):
            if word not in read(f"{root}/cgroup.controllers").split():
                raise Unusable(f"'{root}' does not control '{word}'")
        try:
            write(f"{root}/cgroup.subtree_control", "+io +memory")
        except OSError as error:
            raise Unusable(f"'{root}/cgroup.subtree_control': {error.strerror}") from error
        self.path = f"{root}/{name}"
        make_folders(self.folders, self.path)
        if not os.path.exists(f"{self.path}/io.max"):
            remove_folders(self.folders)
            raise Unusable("the kernel cannot throttle (CONFIG_BLK_DEV_THROTTLING)")

    def limit(self, disk, rate, memory):
        write(f"{self.path}/io.max", f"{disk} rbps={rate or 'max'}")
        write(f"{self.path}/memory.max", str(memory or "max"))
        if os.path.exists(f"{self.path}/memory.swap.max"):
            write(f"{self.path}/memory.swap.max", "0")

    def bytes_read(self, disk):
        for line in read(f"{self.path}/io.stat").splitlines():
            words = line.split()
            if words[0] == disk:
                return int(dict(word.split("=") for word in words[1:]).get("rbytes", 0))
        return 0

    def peak_memory(self):
        path = f"{self.path}/memory.peak"
        return int(read(path)) if os.path.exists(path) else 0

    def empty(self):
        if os.path.exists(f"{self.path}/memory.reclaim"):
            try:
                write(f"{self.path}/memory.reclaim", "1G")
            except OSError:
                pass  # it had less than that


def make_folders(made, *paths):
    try:
        for path in paths:
            os.mkdir(path)
            made.append(path)
    except OSError as error:
        remove_folders(made)
        raise Unusable(f"cannot create '{error.filename}': {error.strerror}") from error


def remove_folders(made):
    """The kernel may take a moment to notice that the last process is gone."""
    for path in made:
        deadline = time.monotonic() + REMOVAL
        while True:
            try:
                os.rmdir(path)
                break
            except FileNotFoundError:
                break
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
    made.clear()


def prefix():
    """How the names of this process's groups begin."""
    return f"entrofs-device-{os.getpid()}-"


def remove_all():
    """Ends what still runs in this process's groups and removes them: a signal may come at any time."""
    for _, point, _ in hierarchies():
        for path in glob.glob(f"{glob.escape(point)}/{prefix()}*"):
            for pid in read(f"{path}/cgroup.procs").split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            remove_folders([path])


class Group:
    """A new group for each run, so that no page of the run before counts; a context manager.

    rate is in bytes a second, memory in bytes; 0: without a limit.
    """

    serial = 0

    def __init__(self, disk, rate, memory):
        Group.serial += 1
        name = f"{prefix()}{Group.serial}"
        self.disk, self.rate, self.memory = disk, rate, memory
        try:
            self.kernel = Version1(name)
        except Unusable as first:
            try:
                self.kernel = Version2(name)
            except Unusable as second:
                raise Unusable(f"version 1: {first}; version 2: {second}") from second

    def __enter__(self):
        try:
            self.kernel.limit(self.disk, self.rate, self.memory)
        except OSError as error:
            remove_folders(self.kernel.folders)
            raise Unusable(f"cannot limit disk {self.disk}: {error.strerror}") from error
        return self

    def __exit__(self, *_):
        try:
            self.kernel.empty()
        except OSError:
            pass  # pages that stay are charged to the group above
        remove_folders(self.kernel.folders)

    def join(self):
        """Moves the process that calls this; for a child before it executes its program."""
        for folder in self.kernel.folders:
            write(f"{folder}/cgroup.procs", "0")

    def bytes_read(self):
        """What all its processes have read from storage so far."""
        return self.kernel.bytes_read(self.disk)

    def peak_memory(self):
        return self.kernel.peak_memory()

    @property
    def version(self):
        return 1 if isinstance(self.kernel, Version1) else 2
