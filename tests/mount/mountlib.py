# SPDX-License-Identifier: MIT
"""Real mounts for tests: starts entrofs, waits until it serves, always takes it down again."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import modellib  # it is in the folder above

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BUILD = os.environ.get("BUILD") or os.path.join(ROOT, "build")
WAIT = 30  # seconds; generous, as sanitizers and loaded machines are slow


def program(name):
    return os.path.join(BUILD, name)


def run(*command, **options):
    """Runs a command to its end; text of stdout and stderr in the result."""
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=120, **options)


def must(*command, **options):
    done = run(*command, **options)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def why_unusable():
    """The reason why nothing can be mounted here, or None."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse: {error.strerror}"
    if os.getuid() != 0 and not shutil.which("fusermount3"):
        return "not root and no fusermount3"
    return None


def is_mounted(path):
    with open("/proc/self/mountinfo") as mounts:
        return any(line.split()[4] == path for line in mounts)


def daemon_of(path):
    """The process that serves a mount point, found by its command line; None if there is none."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if os.path.basename(words[0]) == b"entrofs" and path.encode() in words:
            return int(pid)
    return None


def is_alive(pid):
    """False also for a zombie: who adopts a daemon may take its time to reap it."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def kill_if_alive(pid):
    if pid and is_alive(pid):
        os.kill(pid, signal.SIGKILL)


def wait_until(condition, what):
    deadline = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {WAIT} s for {what}")
        time.sleep(0.005)


class Mount:
    """
    An image mounted by an entrofs in the foreground; a context manager.

    path is the mount point. On the way out the daemon is ended by SIGTERM and must exit with 0,
    having said nothing on stderr but for what the test took with take_log().
    """

    def __init__(self, image, *arguments, prefix=(), env=None):
        self.command = [*prefix, program("entrofs"), "-f", *arguments, image]
        self.env = dict(os.environ, **(env or {}))
        self.path = self.process = self.log = None
        self.log_taken = 0

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="entrofs-mount-")
        self.log = tempfile.TemporaryFile("w+")
        self.start()
        return self

    def start(self):
        self.process = subprocess.Popen([*self.command, self.path], stdin=subprocess.DEVNULL,
                                        stderr=self.log, env=self.env)
        try:
            wait_until(lambda: is_mounted(self.path) or self.process.poll() is not None, "a mount")
            if self.process.poll() is not None:
                raise AssertionError(f"entrofs exited: {self.take_log()}")
        except BaseException:
            self.clean()
            raise

    def __exit__(self, kind, value, trace):
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(WAIT)
            said = self.take_log()
            if kind is None and (code or said):
                raise AssertionError(f"entrofs exited with {code} and said: {said}")
            if kind and said:
                print(said, file=sys.stderr)
            if kind is None and is_mounted(self.path):
                raise AssertionError("entrofs left its mount behind")
        finally:
            self.clean()

    def clean(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        remove_mount(self.path)
        self.log.close()

    def take_log(self):
        """What was said on stderr since the last call. The daemon's writes append at the end."""
        self.log.flush()
        text = os.pread(self.log.fileno(), 1 << 20, self.log_taken)
        self.log_taken += len(text)
        return text.decode(errors="replace")

    def __truediv__(self, name):
        return os.path.join(self.path, name)


def remove_mount(path):
    if is_mounted(path):
        run("umount", "-l", path) if os.getuid() == 0 else run("fusermount3", "-uz", path)
    if os.path.isdir(path):
        os.rmdir(path)


def all_files(folder):
    """Paths of the files in a tree, relative to it, sorted."""
    found = []
    for where, _, names in os.walk(folder):
        found += [os.path.relpath(os.path.join(where, name), folder) for name in names]
    return sorted(found)


def contents(path):
    with open(path, "rb") as file:
        return file.read()


class Workshop:
    """A temporary folder with images made from model folders by mkentrofs."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="entrofs-test-")

    def path(self, name):
        return os.path.join(self.folder, name)

    def pack(self, model, name, *options):
        must(program("mkentrofs"), *options, model, self.path(name))
        return self.path(name)

    def extract(self, image, name):
        must(program("fsck.entrofs"), f"--extract={self.path(name)}", image)
        return self.path(name)

    def close(self):
        shutil.rmtree(self.folder)


def open_workshop():
    """For setUpModule(): a workshop with the folder "model", closed after the module's last test.

    Skips the module where nothing can be mounted."""
    if why_unusable():
        raise unittest.SkipTest(why_unusable())
    shop = Workshop()
    unittest.addModuleCleanup(shop.close)
    modellib.write_model(shop.path("model"), modellib.varied_tensors())
    return shop
