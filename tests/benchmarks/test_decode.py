# SPDX-License-Identifier: MIT
"""The decoding benchmark runs, on data too small to time: every output is verified, and its report is whole.

How fast anything is, no test says.
"""
import os
import shutil
import subprocess
import unittest

from benchlib import Reported

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(os.environ.get("BUILD", os.path.join(ROOT, "build")), "benchmarks/decode")
SIZE = 20_000  # a whole block and a part of one
NUMBERS = ("decode_gbps", "encode_gbps", "bits_per_byte", "entropy_bits_per_byte")


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)


class Decode(Reported):
    @classmethod
    def setUpClass(cls):
        cls.make_folder()
        cls.plot = os.path.join(cls.folder, "report.svg")
        cls.done = run("--quick", "--rounds=1", f"--size={SIZE}", "--threads=2",
                       f"--json={cls.json}", f"--plot={cls.plot}")

    def test_json_has_every_contest_once(self):
        rows = self.rows()
        seen = [(row["data"], row["codec"], row["kernel"], row["threads"]) for row in rows]
        self.assertEqual(len(seen), len(set(seen)))
        for data in ("gauss-u8", "gauss-u4", "laplace-u8", "uniform-u8", "novella-7m-u8", "novella-7m-u4"):
            for codec in ("zstd-1", "zstd-3", "lz4", "memcpy"):
                for threads in (1, 2):
                    self.assertIn((data, codec, None, threads), seen)
            self.assertIn((data, "entrofs", "scalar", 1), seen)
            self.assertIn((data, "entrofs", "scalar", 2), seen)

    def test_json_says_what_was_measured(self):
        for row in self.rows():
            self.assertIs(row["verified"], True)
            for key in NUMBERS:
                self.assertGreater(row[key], 0, row)

    def test_sizes_are_beyond_entropy(self):
        """Of data without repetitions: what no codec can do would be a wrong measurement."""
        for row in self.rows():
            if row["data"].startswith(("gauss", "laplace")):
                self.assertGreater(row["bits_per_byte"], row["entropy_bits_per_byte"], row)

    def test_tables_and_plot(self):
        self.rows()
        for title in ("## gauss-u8", "## gauss-u4", "## novella-7m-u8", "## Threads", "shuffled / counter"):
            self.assertIn(title, self.done.stdout)
        if not shutil.which("gnuplot"):
            self.assertIn("no plot: gnuplot is not installed", self.done.stderr)
            self.skipTest("gnuplot is not installed")
        with open(self.plot, encoding="utf-8") as file:
            self.assertIn("<svg", file.read(1000))

    def test_what_cannot_be_written_is_an_error(self):
        done = run("--quick", "--rounds=1", "--size=4k", "--threads=1", "--json=/nonexistent/d.json",
                   f"--plot={self.plot}")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot write '/nonexistent/d.json': No such file", done.stderr)

    def test_usage(self):
        self.assertEqual(run("--rounds=0").returncode, 2)
        self.assertEqual(run("--size=much").returncode, 2)
        self.assertEqual(run("more").returncode, 2)
        self.assertIn("Usage: decode", run("--help").stdout)


if __name__ == "__main__":
    unittest.main()
