# SPDX-License-Identifier: MIT
"""Hostile images of all classes through the real programs: fsck.entrofs, dump.entrofs, a mount, and tests/reader.py.

The images come from tests/hostile/write.c with the verdict that is expected and the bytes that may be read. Whatever an
image holds, a program ends by itself, soon, in bounded memory, with an exit code that its manual knows, and says what is
wrong in one line that names the image; and what a mount serves is what was put into the image, or EIO.
"""
import collections
import concurrent.futures
import errno
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "mount"), os.path.join(HERE, "..")]
import mountlib
import reader

CLEAN, DAMAGED, FAILED = 0, 4, 8  # of fsck.entrofs
TIME_LIMIT = 20  # seconds for one program; it is there to end a hang, not to measure
MEMORY_LIMIT = 80 << 20  # peak, of one program; what they may keep is bounded by 32 MiB
LARGE = 64 << 20  # bytes: what claims more is not decoded in Python, nor by --deep
PAGE_LIMIT = 2_000_000  # bytes that the page of dump.entrofs has at most
HASHED = 1 << 20  # bytes of a file that are compared
SANITIZED = any(name in mountlib.BUILD for name in ("address", "thread", "undefined"))
EACH = 4 if SANITIZED else 9  # images of each class and verdict

Done = collections.namedtuple("Done", "code out err memory")


def finish(process, files, limit=TIME_LIMIT):
    """Waits for a process; what it said and took. Fails if it does not end."""
    deadline = time.monotonic() + limit
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > deadline:
            process.kill()
            os.wait4(process.pid, 0)
            raise AssertionError(f"{process.args} does not end")
        time.sleep(0.001)
    process.returncode = os.waitstatus_to_exitcode(status)
    texts = []
    for file in files:
        file.seek(0)
        texts.append(file.read().decode(errors="surrogateescape"))
        file.close()
    return Done(process.returncode, *texts, usage.ru_maxrss << 10)


def run(*command):
    files = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=files[0], stderr=files[1])
    return finish(process, files)


def read_at(path, offset, size):
    """The bytes of a stretch of a file, or None for EIO."""
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            data = b""
            while len(data) < size:
                part = file.read(size - len(data))
                if not part:
                    break
                data += part
            return data
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return None


def is_harmless(line):
    """Whether a terminal shows it without doing anything else; bytes that are no UTF-8 may be there."""
    return all(character.isprintable() or 0xdc80 <= ord(character) <= 0xdcff for character in line)


class Trial:
    """One image and what the programs make of it."""

    def __init__(self, test, folder, entry):
        self.test, self.entry = test, entry
        self.path = os.path.join(folder, entry["file"])
        self.opens, self.verdict = entry["opens"], entry["verdict"]
        self.claimed = sum(size for _, size, _ in entry["files"]) + os.stat(self.path).st_size

    def fail(self, text):
        raise AssertionError(f"{self.entry['class']}: {self.entry['name']} ({self.entry['file']}): {str(text)[:600]}")

    def require(self, condition, text):
        if not condition:
            self.fail(text)

    def run(self, name, codes, *arguments):
        """Runs a program on the image and holds it to its exit codes and to memory."""
        jobs = ["--jobs=2"] if name == "fsck.entrofs" else []  # each thread has buffers
        done = run(mountlib.program(name), *jobs, *arguments)
        self.require(done.code in codes, f"{name} {arguments}: exit {done.code}: {done.err}")
        self.require(SANITIZED or done.memory < MEMORY_LIMIT, f"{name} {arguments} took {done.memory} bytes")
        return done

    def program(self, name, codes, verb, *arguments):
        """Exit code, the reasons that it gave, and output."""
        done = self.run(name, codes, *arguments)
        return done.code, self.reasons(name, verb, done.code, done.err), done.out

    def fsck_json(self, codes, *arguments):
        """Exit code, and the messages of the findings, of what it says to programs."""
        done = self.run("fsck.entrofs", codes, "--json", *arguments, self.path)
        report = json.loads(done.out)
        self.require(not done.err and report["exit_code"] == done.code, f"{done.err} {report}")
        self.require(report["clean"] == (not report["findings"]), report)
        return done.code, [finding["message"] for finding in report["findings"]], ""

    def reasons(self, name, verb, code, said):
        """The reasons in the lines of a program, which must be of one form, printable, and there if it failed."""
        lines = said.splitlines()
        self.require(bool(lines) == (code != 0), f"{name}: exit {code} and {lines}")
        reasons = []
        for line in lines:
            match = re.fullmatch(rf"{re.escape(name)}: cannot {verb} '{re.escape(self.path)}': (.+)", line)
            self.require(match and is_harmless(line), f"{name} said {line!r}")
            reasons.append(match[1])
        return reasons

    # ---- an image that does not open

    def refused(self):
        """All programs refuse it for the same reason, in one line."""
        said = [self.program("fsck.entrofs", (DAMAGED, FAILED), "verify", self.path),
                self.fsck_json((DAMAGED, FAILED), "--deep"),
                self.program("dump.entrofs", (1,), "read", "--json", self.path),
                self.program("entrofs", (1,), "mount", "-f", self.path, mount_point())]
        for code, reasons, out in said:
            self.require(len(reasons) == 1 and reasons == said[0][1] and not out, f"{said}")
        kind = FAILED if re.search("version|features", said[0][1][0]) else DAMAGED
        self.require(said[0][0] == said[1][0] == kind, f"exit codes of {said}")
        self.require(self.verdict != "served", said[0][1])
        self.require(not self.second_opinion(), "tests/reader.py takes it")
        return "refused by all"

    # ---- an image that opens

    def second_opinion(self):
        """Whether tests/reader.py takes it; None: it is too large for it."""
        if self.claimed > LARGE:
            return None
        try:
            with open(self.path, "rb") as file:
                reader.Image(file.read()).check_all()
        except reader.BadImage:
            return False
        return True

    def opened(self):
        self.fsck_json((CLEAN, DAMAGED))
        code, reasons, out = self.program("fsck.entrofs", (CLEAN, DAMAGED, FAILED), "verify", "--deep", self.path)
        is_inflated = code == FAILED and "it claims" in reasons[0]
        self.require(code != FAILED or is_inflated, reasons)
        self.require((code == CLEAN) == ("clean" in out), out)
        if not is_inflated:
            self.require((code == CLEAN) or self.verdict != "served", f"fsck --deep: {reasons}")
            self.require((code != CLEAN) or self.verdict != "refused", "fsck --deep finds nothing")
            # Of an odd frame one decoder may make what is right where another gives up.
            self.require(self.second_opinion() in (None, code == CLEAN) or
                         (self.entry["class"], self.verdict, code) == ("frames", "judged", CLEAN),
                         f"tests/reader.py does not agree: {reasons}")
        self.program("dump.entrofs", (0,), "read", self.path)
        code_tables, _, out = self.program("dump.entrofs", (0, 1), "read", "--tables", "--json", self.path)
        self.require(code_tables or json.loads(out)["tensors"] is not None, "JSON")
        self.shown()
        bad = self.mounted()
        if self.claimed <= LARGE:
            self.program("dump.entrofs", (0, 1), "(?:read|verify)", "--html=-", "--jobs=2", self.path)
            self.require(self.extracted() == bad, "not the same is extracted as is served")
        self.require(not bad or self.verdict != "served", f"cannot be read: {bad}")
        self.require(not bad or is_inflated or code == DAMAGED, f"cannot be read: {bad}, but is clean")
        return "served in part" if bad else "served right"

    def shown(self):
        """Its page is of bounded size, and no name gets out of the data in it."""
        code, reasons, page = self.program("dump.entrofs", (0, 1), "(?:read|verify)", "--html=-", self.path)
        if not page:
            self.require(code and "it claims" in reasons[0], f"no page: {reasons}")
            return
        self.require(len(page) < PAGE_LIMIT and page.count("</script>") == 2, "the page")
        data = json.loads(page[page.index(' id="data">') + 11:page.index("</script>")])
        self.require(bool(data["check"]["findings"]) == bool(code), f"exit {code}, {data['check']}")

    def mounted(self):
        """Mounts it and compares its files. Those that cannot be read."""
        files = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        point = tempfile.mkdtemp(prefix="mount-", dir=os.path.dirname(self.path))
        process = subprocess.Popen([mountlib.program("entrofs"), "-f", self.path, point], stdin=subprocess.DEVNULL,
                                   stdout=files[0], stderr=files[1])
        try:
            mountlib.wait_until(lambda: mountlib.is_mounted(point) or os.waitid(
                os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT), "a mount")
            bad = self.compare(point)
            memory = peak_memory(process.pid)
            process.send_signal(signal.SIGTERM)
            done = finish(process, files)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
            mountlib.remove_mount(point)
        self.require(SANITIZED or memory < MEMORY_LIMIT, f"the daemon took {memory} bytes")
        self.require(done.code == 0, f"entrofs: exit {done.code}: {done.err}")
        for line in done.err.splitlines():
            self.require(re.fullmatch(rf"entrofs: '{re.escape(self.path)}': cannot read '.*': .+", line)
                         and is_harmless(line), f"entrofs said {line!r}")
        self.require(bool(done.err) == bool(bad), f"entrofs said {done.err!r}")
        return bad

    def extracted(self):
        """Extracts what is sound of it and compares that. Files that are missing."""
        target = self.path + ".tree"
        self.run("fsck.entrofs", (CLEAN, DAMAGED), "--quiet", "--continue-on-error", "--extract=" + target, self.path)
        expected = self.expected_files()
        missing = [name for name in expected if not os.path.exists(os.path.join(os.fsencode(target), name))]
        self.compare_files(target, {name: expected[name] for name in expected if name not in missing})
        shutil.rmtree(target)
        return missing

    def expected_files(self):
        return {bytes.fromhex(path): (size, digest) for path, size, digest in self.entry["files"]}

    def compare(self, point):
        """Files of a mount that cannot be read; all others must be as they were put into the image."""
        return self.compare_files(point, self.expected_files())

    def compare_files(self, point, expected):
        """The files below a folder are these, and hold what was put into the image; those that cannot be read."""
        names = set()
        for where, _, inner in os.walk(os.fsencode(point)):
            names.update(os.path.relpath(os.path.join(where, name), os.fsencode(point)) for name in inner)
        self.require(names == set(expected), f"files are {names}")
        bad = []
        for name, (size, digest) in expected.items():
            path = os.path.join(os.fsencode(point), name)
            self.require(os.stat(path).st_size == size, f"size of {name}")
            data = read_at(path, 0, min(size, HASHED))
            if data is None:
                bad.append(name)
            else:
                self.require(hashlib.sha256(data).hexdigest() == digest, f"wrong bytes in {name}")
            for offset in (size // 2, size - 1) if size > HASHED else ():
                read_at(path, offset, 1)
        return bad


def peak_memory(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1]) << 10


def mount_point():
    """A folder for mounts that are to fail."""
    if not hasattr(local, "point"):
        local.point = tempfile.mkdtemp(dir=scratch.name)
    return local.point


local = threading.local()


def setUpModule():
    global scratch
    if mountlib.why_unusable():
        raise unittest.SkipTest(mountlib.why_unusable())
    scratch = tempfile.TemporaryDirectory(prefix="entrofs-hostile-")
    unittest.addModuleCleanup(scratch.cleanup)


class Hostile(unittest.TestCase):
    def test_programs(self):
        """Every program on every image: refused in one line, or served right but for EIO."""
        entries = json.loads(mountlib.must(mountlib.program("tests/hostile/write"), scratch.name, str(EACH)))
        self.assertGreater(len(entries), 15 * EACH)
        self.assertGreaterEqual({entry["class"] for entry in entries},
                                {"trees", "names", "names of damage", "extents", "sums", "frames", "tables", "blocks",
                                 "claims", "fields", "sealed fields", "bytes", "truncated"})
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            outcomes = collections.Counter(pool.map(self.attempt, entries))
        print(f"\ninputs: programs: {len(entries)}: " +
              ", ".join(f"{outcomes[what]} {what}" for what in ("refused by all", "served in part", "served right")))

    def attempt(self, entry):
        trial = Trial(self, scratch.name, entry)
        return trial.opened() if trial.opens else trial.refused()


class Kinds(unittest.TestCase):
    """What is no image at all, in place of one."""

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="entrofs-kinds-")
        self.addCleanup(self.folder.cleanup)

    def refused(self, path, reason, damaged=False):
        """Every program refuses it at once and says so in one line; with --json, in the object alone."""
        codes = {"fsck.entrofs": DAMAGED if damaged else FAILED, "dump.entrofs": 1, "entrofs": 1, "mount.entrofs": 32}
        for name, code in codes.items():
            done = run(mountlib.program(name), path, *[mount_point()] * (name in ("entrofs", "mount.entrofs")))
            with self.subTest(program=name, path=path):
                self.assertEqual((done.code, done.out), (code, ""), done.err)
                self.assertRegex(done.err, rf"\A{re.escape(name)}: cannot \w+ '{re.escape(path)}': [^\n]*{reason}[^\n]*\n\Z")
        done = run(mountlib.program("fsck.entrofs"), "--json", path)
        self.assertEqual((done.code, done.err), (codes["fsck.entrofs"], ""))
        findings = json.loads(done.out)["findings"]
        self.assertEqual([finding["kind"] for finding in findings], ["image"])
        self.assertRegex(findings[0]["message"], reason)

    def test_special_files(self):
        """Named pipes, sockets, devices, folders: none is waited for."""
        os.mkfifo(self.path("pipe"))
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(self.path("socket"))
            for path, reason in ((self.path("pipe"), "file.* block device"), (self.path("socket"), "No such device"),
                                 (self.folder.name, "folder|file.* block device"),
                                 ("/dev/null", "file.* block device"), ("/dev/zero", "file.* block device")):
                self.refused(path, reason)

    def test_names(self):
        """Names that lead nowhere."""
        os.symlink("nowhere", self.path("dangling"))
        os.symlink("loop", self.path("loop"))
        with open(self.path("file"), "w"):
            pass
        for path, reason in ((self.path("absent"), "No such file"), (self.path("dangling"), "No such file"),
                             (self.path("loop"), "symbolic links"), (self.path("file/x"), "Not a directory"),
                             (self.path("n" * 300), "name too long"), ("", "No such file")):
            self.refused(path, reason)

    def test_contents(self):
        """Files that hold something else, or nothing; one that is open only as a path."""
        for name, data in (("empty", b""), ("short", b"x" * 4095), ("zeros", bytes(1 << 20)), ("text", b"{}\n" * 5000)):
            with open(self.path(name), "wb") as file:
                file.write(data)
            self.refused(self.path(name), "not an entrofs image", damaged=True)
        fd = os.open(self.path("zeros"), os.O_PATH)
        self.addCleanup(os.close, fd)
        self.refused(f"/proc/{os.getpid()}/fd/{fd}", "not an entrofs image", damaged=True)


if __name__ == "__main__":
    unittest.main()
