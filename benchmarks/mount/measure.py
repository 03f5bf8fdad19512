# SPDX-License-Identifier: MIT
"""One measurement: brings caches to a state, reads by a tool, and tells what it took."""
import contextlib
import json
import mmap
import os
import re
import subprocess
import time

from cases import COLD, FIO, IMAGE, WARM
from data import Failed
from systems import unmount

CHUNK = 8 << 20
DROP_CACHES = "/proc/sys/vm/drop_caches"
PAGE_REPORTING = "/sys/module/page_reporting"
MADV_POPULATE_WRITE = 23  # <linux/mman.h>, since 5.14
KEPT_DISTANCE = 1 << 20  # half of the least block that is reported


def output_of(command, **environment):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, errors="replace", check=False, env=dict(os.environ, LC_ALL="C", **environment))
    if done.returncode:
        lines = (done.stderr + done.stdout).strip().splitlines()
        raise Failed(lines[0] if lines else f"{command[0]}: exit code {done.returncode}")
    return done.stdout, done.stderr


def read_through(path):
    buffer = bytearray(CHUNK)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def drop(paths, what="1"):
    """Empties the page cache, with what="3" that of names and inodes, too; without root, of these files only."""
    if os.access(DROP_CACHES, os.W_OK):
        with open(DROP_CACHES, "w", encoding="ascii") as file:
            file.write(what)
        return
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def available_memory():
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(re.search(r"^MemAvailable:\s+(\d+) kB", file.read(), re.M)[1]) * 1024


@contextlib.contextmanager
def memory_that_stays(size):
    """While it lasts, about so many bytes of free memory stay with this machine. A kernel that reports free pages gives
    them back to the host of a virtual machine a second or two later; to have one again takes some hundred times as long
    as to copy it, and would be counted for whoever is measured then. It reports blocks that are free as a whole, so a
    page of each MiB is kept."""
    size = min(size, available_memory() // 2) // KEPT_DISTANCE * KEPT_DISTANCE
    if not size or not os.path.isdir(PAGE_REPORTING):
        yield
        return
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:  # too little of it: as it was
        yield
        return
    with memory:
        with contextlib.suppress(OSError):  # a kernel without such pages
            memory.madvise(mmap.MADV_NOHUGEPAGE)
        with contextlib.suppress(OSError):  # an old kernel: as it was
            memory.madvise(MADV_POPULATE_WRITE)
        for start in range(0, size, KEPT_DISTANCE):
            memory.madvise(mmap.MADV_DONTNEED, start + mmap.PAGESIZE, KEPT_DISTANCE - mmap.PAGESIZE)
        yield


def bring_to(state, system):
    """Also what is to be in memory is dropped first: how fast a page can be copied depends on where it happens to lie."""
    drop([path for path in (system.path, system.image) if path])
    if state == WARM:
        read_through(system.path)
    if state == IMAGE and system.image:
        read_through(system.image)


class Daemon:
    """What a process takes while something is measured."""

    def __init__(self, pid):
        self.pid = pid
        # Its CPU time in nanoseconds, all threads, also those that have ended: /proc/PID/stat has it in 10 ms only.
        # This is how the kernel numbers the clocks of processes; see clock_getcpuclockid(3).
        self.clock = (~pid << 3) | 2
        try:
            with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
                file.write("5")  # VmHWM counts anew
        except OSError:
            pass  # then it is the highest since the mount
        self.begin = time.clock_gettime(self.clock)

    def cpu_seconds(self):
        return time.clock_gettime(self.clock) - self.begin

    def rss_mib(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(r"^VmHWM:\s+(\d+) kB", file.read(), re.M)[1]) / 1024


def by_fio(path, job):
    """job: (path of a job file, name of the job)."""
    out, _ = output_of(["fio", "--readonly", "--output-format=json", f"--section={job[1]}", job[0]], FILE=path)
    # fio may print notes before the object
    entry = json.loads(out[out.index("{"):])["jobs"][0]
    if entry["error"]:
        raise Failed(f"fio: {os.strerror(entry['error'])}")
    read = entry["read"]
    percentiles = read["clat_ns"]["percentile"]
    seconds = max(read["runtime"], 1) / 1e3
    return {"bytes": read["io_bytes"], "gbps": read["io_bytes"] / seconds / 1e9, "iops": read["total_ios"] / seconds,
            "p50_us": percentiles["50.000000"] / 1e3, "p99_us": percentiles["99.000000"] / 1e3}


def by_dd(path):
    _, err = output_of(["dd", f"if={path}", "of=/dev/null", "bs=1M"])
    size, seconds = re.search(r"(\d+) bytes .* copied, ([\d.e-]+) s", err).groups()
    return {"bytes": int(size), "gbps": int(size) / float(seconds) / 1e9}


def by_mmapscan(program, path, arguments):
    out, _ = output_of([program, *arguments, path])
    scan = json.loads(out)
    pages = -(-scan["bytes"] // mmap.PAGESIZE)
    return {"bytes": scan["bytes"], "gbps": scan["bytes"] / scan["seconds"] / 1e9, "iops": pages / scan["seconds"],
            "p50_us": scan["p50_us"], "p99_us": scan["p99_us"]}


def read_by(case, system, build):
    if system.name == "odirect":
        return by_fio(system.path, (os.path.join(FIO, "image.fio"), "1m"))
    if case.tool == "fio":
        return by_fio(system.path, case.arguments)
    if case.tool == "dd":
        return by_dd(system.path)
    return by_mmapscan(os.path.join(build, "benchmarks/mmapscan"), system.path, case.arguments)


def measure(case, system, build):
    """gbps, iops, p50_us, p99_us, cpu_s_per_gb, rss_mib; None where it does not apply."""
    bring_to(case.state, system)
    daemon = Daemon(system.pid) if system.pid else None
    result = dict.fromkeys(("gbps", "iops", "p50_us", "p99_us", "cpu_s_per_gb", "rss_mib"))
    result.update(read_by(case, system, build))
    size = result.pop("bytes")
    if daemon:
        result["cpu_s_per_gb"] = daemon.cpu_seconds() / (size / 1e9)
        result["rss_mib"] = daemon.rss_mib()
    return result


def first_byte(command, mountpoint, inner, offset, cold):
    """first_byte_ms: from the start of a command that mounts to a byte read. Unmounts again."""
    if cold:
        drop([word for word in command if os.path.isfile(word)], "3")
    os.mkdir(mountpoint)
    try:
        start = time.monotonic()
        output_of([*command, mountpoint])
        with open(os.path.join(mountpoint, inner), "rb", buffering=0) as file:
            if len(os.pread(file.fileno(), 1, offset)) != 1:
                raise Failed(f"'{inner}' has no byte at {offset}")
        return {"first_byte_ms": (time.monotonic() - start) * 1e3}
    finally:
        unmount(mountpoint)
        os.rmdir(mountpoint)


def same_mapped(path, plain):
    with open(path, "rb") as a, open(plain, "rb") as b, \
            mmap.mmap(a.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as mapped, \
            mmap.mmap(b.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as expected:
        size = len(expected)
        return len(mapped) == size and all(mapped[at:at + CHUNK] == expected[at:at + CHUNK]
                                           for at in range(0, size, CHUNK))


def verify(system, plain):
    """Every byte, as it will be read: by read(), then by a mapping of what that left in the page cache and, of entrofs,
    by a mapping of what is not there and by O_DIRECT. The null server has no content to compare."""
    if system.name in ("null", "plain", "odirect"):
        return
    drop([system.path])
    if subprocess.run(["cmp", "-s", system.path, plain], check=False).returncode:
        raise Failed(f"{system.label}: what read() gives is not what was packed")
    if system.name == "entrofs":
        drop([system.path])
    if not same_mapped(system.path, plain):
        raise Failed(f"{system.label}: what a mapping gives is not what was packed")
    if system.name != "entrofs":
        return
    with subprocess.Popen(["dd", f"if={system.path}", "iflag=direct", "bs=1M", "status=none"],
                          stdout=subprocess.PIPE) as dd:
        different = subprocess.run(["cmp", "-s", "-", plain], stdin=dd.stdout, check=False).returncode
    if different or dd.returncode:
        raise Failed(f"{system.label}: what O_DIRECT gives is not what was packed")
