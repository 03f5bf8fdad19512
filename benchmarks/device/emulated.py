# SPDX-License-Identifier: MIT
"""An emulated arm64 machine (Cortex-A57, four processors) whose drives are throttled, reading a real mount.

An emulated processor is slower than a real one by far more than ten times, so storage has to be slow as well
for reading to wait for it: the ratio is what counts.
"""
import glob
import hashlib
import os
import shutil
import statistics
import subprocess

import runs
from models import ROOT, WHOLE

TRIPLE = "aarch64-linux-gnu"
RATE = 4  # MB/s of the drives
PROCESSORS = 4
TIMEOUT = 900  # seconds
MODULES = ("fs/fuse/fuse.ko", "drivers/virtio/virtio_mmio.ko", "drivers/block/virtio_blk.ko")


class Unusable(Exception):
    """Why there is no such machine here."""


def build(folder):
    """Cross-builds the daemon and unpacks a kernel; paths of the folders."""
    for program, package in (("qemu-system-aarch64", "qemu-system-arm"), (f"{TRIPLE}-gcc", f"gcc-{TRIPLE}")):
        if not shutil.which(program):
            raise Unusable(f"no {program} (package {package})")
    sysroot, machine = (os.path.join(ROOT, "build", name) for name in (f"sysroot-{TRIPLE}", "arm64-machine"))
    unpack = os.path.join(ROOT, "tests/arm64/sysroot.sh")
    try:
        runs.must([unpack, sysroot])
        runs.must([unpack, machine, "linux-image-arm64", "busybox-static"])
    except runs.Failed as error:
        raise Unusable(f"no arm64 packages: {error}") from error
    runs.must(["make", "-C", ROOT, f"CROSS={TRIPLE}", f"BUILD={folder}/{TRIPLE}", f"{folder}/{TRIPLE}/entrofs"])
    return sysroot, machine


def one(pattern):
    found = sorted(glob.glob(pattern))
    if not found:
        raise Unusable(f"no '{pattern}'")
    return found[-1]


def needed_libraries(program, sysroot):
    """The shared libraries of a program, theirs included, and the loader."""
    where = [f"{sysroot}/lib/{TRIPLE}", f"{sysroot}/usr/lib/{TRIPLE}"]
    found, waiting = {}, [program]
    while waiting:
        out = runs.must([f"{TRIPLE}-readelf", "-d", waiting.pop()])
        for name in (line.split("[")[1].rstrip("]") for line in out.splitlines() if "(NEEDED)" in line):
            path = next((f"{folder}/{name}" for folder in where if os.path.exists(f"{folder}/{name}")), None)
            if path and name not in found:
                found[name] = path
                waiting.append(path)
    # libgcc_s is loaded by name, when a thread ends.
    found["libgcc_s.so.1"] = one(f"{sysroot}/lib/{TRIPLE}/libgcc_s.so.1")
    found["ld-linux-aarch64.so.1"] = one(f"{sysroot}/lib/{TRIPLE}/ld-linux-aarch64.so.1")
    return found


def write_archive(archive, root):
    """A folder in the form that the kernel unpacks: cpio, "newc" (the kernel's initramfs buffer format)."""
    def entry(file, name, mode, content=b""):
        name = name.encode() + b"\0"
        # Magic, then 13 numbers: inode, mode, owner, group, links, time, size, four of devices, name's size, sum.
        fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        header = b"070701" + "".join(f"{field:08x}" for field in fields).encode() + name
        file.write(header + bytes(-len(header) % 4) + content + bytes(-len(content) % 4))

    with open(archive, "wb") as file:
        for where, folders, names in os.walk(root):
            for name in sorted(folders):
                entry(file, os.path.relpath(os.path.join(where, name), root), 0o040755)
            for name in sorted(names):
                path = os.path.join(where, name)
                with open(path, "rb") as content:
                    entry(file, os.path.relpath(path, root), 0o100755, content.read())
        entry(file, "TRAILER!!!", 0)


def make_root(folder, model, built, sysroot, machine, rounds):
    """The machine's first file system, packed."""
    root = os.path.join(folder, "root")
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "lib", "mod"):
        os.makedirs(os.path.join(root, name))
    program = os.path.join(built, "entrofs")
    runs.must([f"{TRIPLE}-strip", "-o", f"{root}/bin/entrofs", program])
    shutil.copy(one(f"{machine}/bin/busybox"), f"{root}/bin/busybox")
    shutil.copy(os.path.join(ROOT, "benchmarks/device/guest-init.sh"), f"{root}/init")
    for name, path in needed_libraries(program, sysroot).items():
        shutil.copy(path, f"{root}/lib/{name}")
    for name in MODULES:
        shutil.copy(one(f"{machine}/lib/modules/*/kernel/{name}"), f"{root}/mod")
    with open(f"{root}/settings", "w", encoding="ascii") as file:
        file.write(f"plain_size={model.plain_size} drive_size={padded(model.plain_size)} rounds={rounds}\n")
    with open(f"{root}/sums", "w", encoding="utf-8") as file:
        for where, _, names in sorted(os.walk(model.plain)):
            for name in sorted(names):
                path = os.path.join(where, name)
                with open(path, "rb") as content:
                    digest = hashlib.sha256(content.read()).hexdigest()
                file.write(f"{digest}  {os.path.relpath(path, model.plain)}\n")
    archive = os.path.join(folder, "root.cpio")
    write_archive(archive, root)
    shutil.rmtree(root)
    return archive


def padded(size):
    return -(-size // 512) * 512


def boot(machine, archive, image, plain, log):
    """Runs the machine until it powers off."""
    drives = []
    # The last one given is found first.
    for name, path in (("plain", plain), ("image", image)):
        drives += ["-drive", f"if=none,id={name},format=raw,readonly=on,cache=none,file={path},"
                             f"throttling.bps-read={RATE * 1_000_000}",
                   "-device", f"virtio-blk-device,drive={name}"]
    command = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-smp", str(PROCESSORS), "-m", "1G",
               "-accel", "tcg,thread=multi", "-display", "none", "-monitor", "none", "-serial", f"file:{log}",
               "-no-reboot", "-net", "none", "-kernel", one(f"{machine}/boot/vmlinuz-*"), "-initrd", archive,
               "-append", "console=ttyAMA0 quiet panic=-1 rdinit=/init", *drives]
    process = runs.spawn(command, stderr=subprocess.PIPE)
    try:
        process.wait(TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise runs.Failed(f"the emulated machine did not end in {TIMEOUT} s") from error
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    runs.finish(process, "qemu-system-aarch64")


class Reading:
    """What the emulated machine said of one model."""

    def __init__(self, model, words):
        self.model = model
        self.decoder, self.kernel = words["decoder"][0], words["kernel"][0]
        self.seconds = {name: [int(word) / 100 for word in words[name]] for name in ("plain", "entrofs")}
        self.files = int(words["same"][0])

    def median(self, system):
        return statistics.median(self.seconds[system])

    def ratio(self):
        return self.median("entrofs") / self.median("plain")


def measure(model, folder, rounds):
    """Boots the machine once for a model; every byte of its mount has been compared when this returns."""
    sysroot, machine = build(folder)
    archive = make_root(folder, model, os.path.join(folder, TRIPLE), sysroot, machine, rounds)
    plain = os.path.join(folder, "drive.plain")
    shutil.copy(os.path.join(model.plain, WHOLE), plain)
    os.truncate(plain, padded(model.plain_size))
    log = os.path.join(folder, "serial.log")
    try:
        boot(machine, archive, model.image, plain, log)
        with open(log, encoding="utf-8", errors="replace") as file:
            text = file.read()
    finally:
        for path in (archive, plain):
            os.unlink(path)
    words = {}
    for line in text.splitlines():
        if line.startswith("@@ "):
            name, _, rest = line[3:].partition(" ")
            words.setdefault(name, []).append(rest.strip())
    if len(words.get("same", [])) != 2 or "failed" in words or "done" not in words:
        raise runs.Failed("the emulated machine's mount is not what it should be: " + text[-2000:])
    return Reading(model, words)
