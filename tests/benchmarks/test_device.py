# SPDX-License-Identifier: MIT
"""The small device's benchmark runs, on models too small to time: its report is whole, and it cleans up.

How fast anything is, no test says.
"""
import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD") or os.path.join(ROOT, "build"))
SCRIPT = os.path.join(ROOT, "benchmarks/device.sh")
KEYS = ("case", "data", "system", "seconds", "tokens_per_s", "ideal_ratio")
WAIT = 120  # seconds


def start(*arguments):
    return subprocess.Popen([SCRIPT, f"--build={BUILD}", *arguments], stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(*arguments):
    process = start(*arguments)
    out, err = process.communicate()
    return process.returncode, out, err


def left_behind(pid):
    """Groups, mounts and folders of a script that has ended."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = [line.split()[4] for line in file if "/entrofs-device-" in line]
    groups = [path for path in glob.glob("/sys/fs/cgroup/**/entrofs-device-*", recursive=True)
              if f"entrofs-device-{pid}-" in path]
    return groups + [path for path in mounts if pid_of_mount(path) == pid]


def pid_of_mount(path):
    """Whose mount it is: the name of a mount point has its script's number, too."""
    return int(os.path.basename(path).split("-")[2])


class Device(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="test-device-", dir=BUILD)
        self.addCleanup(shutil.rmtree, self.folder)

    def skip_if_it_was(self, out):
        for line in out.splitlines():
            if line.startswith("skipped: "):
                self.skipTest(line[len("skipped: "):])

    def test_report(self):
        result, plot = (os.path.join(self.folder, name) for name in ("d.json", "d.svg"))
        process = start("--quick", "--cases=read,fits", f"--work={self.folder}", f"--json={result}",
                        f"--plot={plot}")
        out, err = process.communicate()
        self.assertEqual(process.returncode, 0, err)
        self.skip_if_it_was(out)
        self.assertEqual(left_behind(process.pid), [])
        with open(result, encoding="utf-8") as file:
            rows = json.load(file)
        seen = {(row["case"], row["data"], row["system"]) for row in rows}
        self.assertEqual(seen, {(f"{case}-90", data, system) for case in ("read", "fits")
                                for data in ("u8", "u4") for system in ("entrofs", "plain")})
        for row in rows:
            self.assertLessEqual(set(KEYS), set(row))
            self.assertGreater(row["seconds"], 0)
            self.assertLess(row["ideal_ratio"], 1)
            self.assertEqual(row["tokens_per_s"] is None, row["what"] == "read")
            self.assertIs(row["verified"], True)
            # Storage was read, so it was not a cache that was measured.
            self.assertGreater(row["storage_bytes"], row["image_bytes"] / 2)
        for title in ("## Reading the whole model", "## Everything fits in memory", "No targets"):
            self.assertIn(title, out)
        if shutil.which("gnuplot"):
            with open(plot, encoding="utf-8") as file:
                self.assertIn("<svg", file.read(1000))
        else:
            self.assertIn("no plot: gnuplot is not installed", err)

    def test_ended_by_a_signal(self):
        """In the middle of a run: no group, no mount and no temporary folder stays."""
        process = start("--quick", "--rounds=1000", "--cases=fits", "--data=u4", f"--work={self.folder}")
        try:
            deadline = time.monotonic() + WAIT
            while not left_behind(process.pid) and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=WAIT)
        finally:
            process.kill()
        self.skip_if_it_was(out)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM, err)
        self.assertEqual(left_behind(process.pid), [])

    def test_usage(self):
        for wrong in ("--rounds=0", "--rates=fast", "--cases=all", "--data=u2", "more"):
            self.assertEqual(run(wrong)[0], 2, wrong)
        code, out, _ = run("--help")
        self.assertEqual(code, 0)
        self.assertIn("usage: device.sh", out)


if __name__ == "__main__":
    unittest.main()
