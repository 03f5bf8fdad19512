# SPDX-License-Identifier: MIT
"""The mount benchmark runs, on data too small to time; it refuses wrong content, and its ratios are what they say.

How fast anything is, no test says.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
SCRIPT = os.path.join(ROOT, "benchmarks/mount.sh")
sys.path.insert(0, os.path.join(ROOT, "benchmarks/mount"))

from benchlib import Reported, skip_under_sanitizers
import cases  # pylint: disable=wrong-import-position
import data
import measure
import systems
import targets

CHOSEN = ("seq-cold-1m", "seq-warm-1m", "seq-cold-dd", "rand-4k", "mmap-cold", "mmap-populate", "mmap-random")
STRINGS = ("case", "data", "system", "variant", "state")
NUMBERS = ("gbps", "iops", "p50_us", "p99_us", "cpu_s_per_gb", "rss_mib", "first_byte_ms", "stored_fraction")

setUpModule = skip_under_sanitizers


def run(*arguments):
    return subprocess.run([SCRIPT, "--build", BUILD, *arguments], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)


def why_not():
    """The reason why it cannot run here, or None."""
    for tool in ("fio", "squashfuse", "mksquashfs", "fusermount3"):
        if not shutil.which(tool):
            return f"no {tool}: make deps-dev installs it"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse: {error.strerror}"
    if os.getuid():
        return "not root: what only the kernel mounts would be missing"
    return None


class Run(Reported):
    """One run of the script, and what it says of each system."""

    @classmethod
    def setUpClass(cls):
        reason = why_not()
        if reason:
            raise unittest.SkipTest(reason)
        cls.make_folder(dir=BUILD, prefix="bench-test.")
        cls.plots = os.path.join(cls.folder, "plots")
        cls.done = run("--quick", "--rounds=1", f"--work={cls.folder}/work", f"--json={cls.json}",
                       f"--plots={cls.plots}", "--cases=" + ",".join([*CHOSEN, "first-byte*"]))

    def test_rows_have_the_documented_keys(self):
        for row in self.rows():
            self.assertEqual(set(row), {*STRINGS, *NUMBERS, "rounds", "skipped"})
            for key in STRINGS:
                self.assertIsInstance(row[key], str)
            for key in NUMBERS:
                if row[key] is not None:
                    self.assertGreaterEqual(row[key], 0, row)
            self.assertTrue(row["skipped"] or row["gbps"] or row["first_byte_ms"], row)

    def test_every_contest_is_there_once(self):
        rows = self.rows()
        seen = [(row["case"], row["data"], row["system"], row["variant"]) for row in rows]
        self.assertEqual(len(seen), len(set(seen)))
        for name in ("u8", "u4"):
            for case in CHOSEN:
                for system in ("entrofs", "null", "plain"):
                    self.assertIn((case, name, system, ""), seen)
            for case in cases.BOUNDED_BY_DISK:
                self.assertIn((case, name, "odirect", ""), seen)
            for block in ("128k", "1m"):
                self.assertIn(("seq-cold-1m", name, "squashfuse", block), seen)
        self.assertIn(("first-byte", "7b", "entrofs", ""), seen)

    def test_a_daemon_has_cpu_time_and_memory(self):
        for row in self.rows():
            if row["skipped"] or row["gbps"] is None:
                continue
            served = row["system"] in ("entrofs", "null", "squashfuse")
            self.assertEqual(row["cpu_s_per_gb"] is not None, served, row)
            self.assertEqual(row["rss_mib"] is not None, served, row)
            self.assertEqual(row["p50_us"] is None, row["case"] == "seq-cold-dd" and row["system"] != "odirect", row)

    def test_report_and_plots(self):
        self.rows()
        for words in ("## Targets", "### seq-cold-1m, u8", "### rand-4k, u4", "kernel", "nothing cached"):
            self.assertIn(words, self.done.stdout)
        if not shutil.which("gnuplot"):
            self.skipTest("gnuplot is not installed")
        for name in ("sequential-u8", "mapped-u4"):
            with open(os.path.join(self.plots, f"{name}.svg"), encoding="utf-8") as file:
                self.assertIn("<svg", file.read(1000))

    def test_nothing_stays_mounted(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            self.assertNotIn(self.folder, file.read())
        self.assertEqual(os.listdir(os.path.join(self.folder, "work", "u8-quick", "files")), ["data"])

    def test_an_interrupted_run_cleans_up(self):
        """Also if the signal comes twice, as from timeout(1): a second one once left mounts behind."""
        self.rows()
        temporary = tempfile.mkdtemp(dir=BUILD, prefix="bench-test.")
        process = subprocess.Popen([SCRIPT, "--build", BUILD, "--quick", f"--work={self.folder}/work", "--rounds=99",
                                    "--data=u8", "--cases=seq-cold-1m"], env=dict(os.environ, TMPDIR=temporary),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if "seq-cold-1m" in line:
                break
        while process.poll() is None:
            process.terminate()
            time.sleep(0.02)
        _, errors = process.communicate()
        self.assertEqual(process.returncode, 128 + signal.SIGTERM, errors)
        self.assertEqual(os.listdir(temporary), [], errors)
        os.rmdir(temporary)


class Usage(unittest.TestCase):
    def setUp(self):
        if not shutil.which("fio"):
            self.skipTest("no fio: make deps-dev installs it")

    def test_errors_are_named(self):
        for arguments in (("--systems=ntfs",), ("--data=u2",), ("--rounds=0",), ("--rounds=many",), ("more",)):
            done = run(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn("mount.sh: error:", done.stderr)
        done = run("--quick", "--work=/dev/null/x")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot use '/dev/null/x'", done.stderr)

    def test_list_has_every_job(self):
        names = run("--list").stdout.split()
        self.assertEqual(len(names), len(set(names)))
        for name in CHOSEN:
            self.assertIn(name, names)


class Verification(unittest.TestCase):
    def test_a_wrong_byte_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            plain, mounted = (os.path.join(folder, name) for name in ("plain", "mounted"))
            content = bytes(range(256)) * 1000
            with open(plain, "wb") as file:
                file.write(content)
            for wrong in (content[:-1] + b"x", content[:-1], content + b"x"):
                with open(mounted, "wb") as file:
                    file.write(wrong)
                with self.assertRaises(data.Failed):
                    measure.verify(systems.System("squashfs", "", mounted), plain)
                self.assertFalse(measure.same_mapped(mounted, plain))
            with open(mounted, "wb") as file:
                file.write(content)
            measure.verify(systems.System("entrofs", "", mounted), plain)


def row(case, name, system, variant="", fraction=0.5, **rounds):
    return {"case": case, "data": name, "system": system, "variant": variant, "stored_fraction": fraction,
            "rounds": rounds, "rss_mib": None, "first_byte_ms": None}


class Targets(unittest.TestCase):
    def value(self, rows, what):
        found = [target for target in targets.all_targets(rows) if target.what.startswith(what)
                 and target.case == "seq-cold-1m"]
        self.assertEqual(len(found), 1)
        return found[0]

    def test_ratios_are_of_rounds(self):
        """What slows a whole round does not count: the ratio of medians to the ceiling would be 1."""
        rows = [row("seq-cold-1m", "u8", "entrofs", gbps=[1, 10, 2], cpu_s_per_gb=[1, 1, 1]),
                row("seq-cold-1m", "u8", "null", gbps=[4, 20, 2], cpu_s_per_gb=[1, 0.4, 0.2]),
                row("seq-cold-1m", "u8", "plain", gbps=[1, 5, 1]),
                row("seq-cold-1m", "u8", "odirect", gbps=[1, 20, 3]),
                row("seq-cold-1m", "u8", "squashfs", "1m", gbps=[1, 1, 1]),
                row("seq-cold-1m", "u8", "erofs", gbps=[2, 2, 2])]
        self.assertEqual(self.value(rows, "cold sequential, against min").value, 0.5)
        self.assertEqual(self.value(rows, "cold sequential, against the plain").value, 2)
        self.assertTrue(self.value(rows, "cold sequential, against the plain").met)
        self.assertEqual(self.value(rows, "cold sequential, against the best").value, 1)
        self.assertEqual(self.value(rows, "daemon CPU").value, 2.5)
        self.assertFalse(self.value(rows, "daemon CPU").met)

    def test_what_was_not_measured_is_not_met(self):
        rows = [row("seq-cold-1m", "u8", "entrofs", gbps=[1])]
        target = self.value(rows, "cold sequential, against min")
        self.assertIsNone(target.value)
        self.assertIsNone(target.met)


if __name__ == "__main__":
    unittest.main()
