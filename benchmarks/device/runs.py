# SPDX-License-Identifier: MIT
"""Single runs in a group: mounting an image, reading a file, writing a text; and dropping what is cached."""
import ctypes
import glob
import json
import mmap
import os
import re
import select
import signal
import subprocess
import tempfile
import time

import autogroup
from group import prefix

WAIT = 60  # seconds that a daemon may take to mount and to end
NICENESS = -15  # of what is measured: a device has nothing else to do
STALLED = 300  # seconds without a token
PROMPT = "Hello"


class Failed(Exception):
    """A program did not do what it should."""


def spawn(command, group=None, **options):
    """A child in the group, if there is one; what is measured goes ahead of the machine's other programs."""
    def enter():
        if group:
            group.join()
        os.setsid()
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
        autogroup.write(NICENESS)

    return subprocess.Popen(command, stdin=subprocess.DEVNULL, env=dict(os.environ, LC_ALL="C.UTF-8"),
                            preexec_fn=enter, **options)


def must(command):
    """Runs a program to its end; its standard output."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def how_it_ended(code):
    if code == -signal.SIGKILL:
        return "killed: its memory cap is too small, most likely"
    return f"killed by signal {-code}" if code < 0 else f"exit {code}"


# --- what is cached ------------------------------------------------------------------------------

def resident_pages(path):
    """How many pages of a file the kernel holds."""
    size = os.path.getsize(path)
    if size == 0:
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                          ctypes.c_long)
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    pages = (ctypes.c_ubyte * (-(-size // mmap.PAGESIZE)))()
    with open(path, "rb") as file:
        address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    if address == ctypes.c_void_p(-1).value:
        raise Failed(f"cannot map '{path}'")
    failed = libc.mincore(address, size, pages)
    libc.munmap(address, size)
    if failed:
        raise Failed(f"cannot see what of '{path}' is cached")
    return sum(page & 1 for page in pages)


def drop_cached(path):
    """The kernel forgets a file, or all files of a folder; says so if it does not."""
    names = [path] if os.path.isfile(path) else \
        [os.path.join(where, name) for where, _, files in os.walk(path) for name in files]
    for name in names:
        with open(name, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if resident_pages(name):
            raise Failed(f"'{name}' stays cached: is another program using it?")


# --- the mount -----------------------------------------------------------------------------------

def is_mounted(path):
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        return any(line.split()[4] == path for line in mounts)


class Mount:
    """An image mounted by a daemon of the group; a context manager that gives the mount point."""

    def __init__(self, program, image, group=None, options=()):
        self.command = [program, "-f", "-o", ",".join(("stats", *options)), image]
        self.group = group
        self.path = self.process = None

    def __enter__(self):
        self.path = os.path.realpath(tempfile.mkdtemp(prefix=prefix()))
        try:
            self.process = spawn([*self.command, self.path], self.group)
            deadline = time.monotonic() + WAIT
            while not is_mounted(self.path):
                if self.process.poll() is not None:
                    raise Failed(f"entrofs: {how_it_ended(self.process.returncode)}")
                if time.monotonic() > deadline:
                    raise Failed("entrofs does not mount")
                time.sleep(0.001)
            os.stat(os.path.join(self.path, "quantized"))  # the answer: it serves
        except BaseException:
            self.close()
            raise
        return self.path

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process:
            if self.process.poll() is None:
                self.process.terminate()
            try:
                self.process.wait(WAIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if is_mounted(self.path):
            subprocess.run(["umount", "-l", self.path], check=False)
        os.rmdir(self.path)


def remove_all():
    """Takes down mounts that a signal has left."""
    for path in glob.glob(os.path.join(glob.escape(os.path.realpath(tempfile.gettempdir())), prefix() + "*")):
        if is_mounted(path):
            subprocess.run(["umount", "-l", path], check=False)
        os.rmdir(path)


def statistics(path):
    return json.loads(os.getxattr(path, "user.entrofs.stats"))


# --- readers -------------------------------------------------------------------------------------

def finish(process, what):
    """Waits for a child whose error messages went to a pipe."""
    error = process.stderr.read().decode(errors="replace")
    code = process.wait()
    process.stderr.close()
    if code:
        raise Failed(f"{what}: {how_it_ended(code)}: {error.strip()}")
    return error


def read_file(path, group):
    """Reads a file from its beginning to its end; seconds."""
    started = time.monotonic()
    process = spawn(["dd", f"if={path}", "of=/dev/null", "bs=1M", "status=none"], group,
                    stderr=subprocess.PIPE)
    finish(process, f"dd if={path}")
    return time.monotonic() - started


class Text:
    """What entrofs-run wrote, and when: seconds from its start to the first token, tokens a second after it."""

    def __init__(self, text, first, speed):
        self.text, self.first, self.speed = text, first, speed


def write_text(program, folder, tokens, threads, group):
    """Lets entrofs-run write so many tokens, at least two."""
    started = time.monotonic()
    process = spawn([program, "-p", PROMPT, "-n", str(tokens), "-j", str(threads), "--stats", folder],
                    group, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    text, ended = b"", started
    try:
        while select.select([process.stdout], [], [], STALLED)[0]:
            piece = os.read(process.stdout.fileno(), 1 << 16)
            if not piece:
                break
            text += piece
            ended = time.monotonic() - started  # at last: the newline after the last token
        else:
            raise Failed(f"entrofs-run writes no token from '{folder}' in {STALLED} s")
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        process.stdout.close()
    shown = shown_statistics(finish(process, f"entrofs-run {folder}"))
    if shown.get("written") != tokens:
        raise Failed(f"entrofs-run wrote {shown.get('written')} of {tokens} tokens")
    first = shown["first token"] / 1e3
    return Text(text, first, (tokens - 1) / (ended - first))


def shown_statistics(text):
    """{what: number} of lines such as "first token      721.5 ms"."""
    found = (re.match(r"(\w[\w ]*?)\s{2,}([0-9.]+) ", line) for line in text.splitlines())
    return {match[1]: float(match[2]) for match in found if match}
