# SPDX-License-Identifier: MIT
"""What the programs have in common: help, version, usage errors, exit codes, files of odd kinds."""
import glob
import json
import os
import re
import subprocess
import tempfile
import unittest

import modellib
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
USAGE = {"mkentrofs": 2, "entrofs": 2, "fsck.entrofs": 16, "dump.entrofs": 2, "entrofs-run": 2,
         "mount.entrofs": 1}
FAILED = {"mkentrofs": 1, "entrofs": 1, "fsck.entrofs": 8, "dump.entrofs": 1, "entrofs-run": 1,
          "mount.entrofs": 32}
OPERANDS = {"mkentrofs": 2, "entrofs": 2, "fsck.entrofs": 1, "dump.entrofs": 1, "entrofs-run": 1,
            "mount.entrofs": 2}


def run(program, *arguments, stdout=subprocess.PIPE, env=None):
    return subprocess.run([os.path.join(BUILD, program), *arguments], stdin=subprocess.DEVNULL,
                          stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=30, check=False,
                          env={**os.environ, **(env or {})})


class Manner(unittest.TestCase):
    def test_help(self):
        for program in USAGE:
            with self.subTest(program):
                done = run(program, "--help")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertTrue(done.stdout.startswith(f"Usage: {program} "))
                self.assertEqual([line for line in done.stdout.splitlines() if len(line) > 80], [])
                self.assertEqual(run(program, "-h").stdout, done.stdout)
                self.assertRegex(done.stdout, "(?s)Exit code: 0 .*usage")

    def test_version(self):
        for program in USAGE:
            with self.subTest(program):
                done = run(program, "--version")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertRegex(done.stdout, rf"^{program} \d+\.\d+\.\d+\n")
                self.assertEqual(run(program, "-V").stdout, done.stdout)

    def test_usage_errors(self):
        for program in USAGE:
            with self.subTest(program):
                for arguments in ([], ["--nonsense"], ["-?"], ["x"] * (OPERANDS[program] + 1)):
                    done = run(program, *arguments)
                    self.assertEqual((done.returncode, done.stdout), (USAGE[program], ""), arguments)
                    first, second = done.stderr.splitlines()
                    self.assertTrue(first.startswith(f"{program}: "), first)
                    self.assertEqual(second, f"Try '{program} --help' for more information.")

    def test_input_that_cannot_be_read(self):
        """One line that names the program and the file, and no waiting for a writer to a pipe."""
        with tempfile.TemporaryDirectory() as scratch:
            pipe = os.path.join(scratch, "pipe")
            os.mkfifo(pipe)
            for program in USAGE:
                with self.subTest(program):
                    rest = [os.path.join(scratch, "other")] * (OPERANDS[program] - 1)
                    for path in (pipe, "/dev/null", os.path.join(scratch, "missing")):
                        done = run(program, path, *rest)
                        self.assertEqual((done.returncode, done.stdout), (FAILED[program], ""), path)
                        self.assertRegex(done.stderr, rf"^{program}: cannot \w+ '{path}': .+\n$")

    def test_documented(self):
        """Every long option of --help stands in the man page, and the exit codes do."""
        for program in USAGE:
            with self.subTest(program):
                found = glob.glob(os.path.join(ROOT, "man", program + ".[18]"))
                self.assertEqual(len(found), 1)
                with open(found[0], encoding="utf-8") as file:
                    page = file.read()
                self.assertIn(".Sh EXIT STATUS", page)
                for option in re.findall(r"^ +(?:-\w, )?--([\w-]+)", run(program, "--help").stdout, re.M):
                    self.assertRegex(page, rf"Fl -{option}\b")

    def test_decoder(self):
        """ENTROFS_KERNEL decides which decoder runs; what it cannot be is said with those there are."""
        for program in USAGE:
            if program == "entrofs-run":  # decodes nothing
                continue
            with self.subTest(program):
                done = run(program, "--version", env={"ENTROFS_KERNEL": ""})
                self.assertRegex(done.stdout, r"(?m)^decoder: (?!reference)\w+$")
                for kernel in "reference", "scalar":
                    done = run(program, "--version", env={"ENTROFS_KERNEL": kernel})
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertRegex(done.stdout, rf"(?m)^decoder: {kernel}$")
                for arguments in ["--version"], ["x"] * OPERANDS[program]:
                    done = run(program, *arguments, env={"ENTROFS_KERNEL": "no\x1bsuch"})
                    self.assertEqual((done.returncode, done.stdout), (USAGE[program], ""))
                    self.assertRegex(done.stderr, rf"^{program}: ENTROFS_KERNEL: cannot use kernel 'no\?such': "
                                                  r"known are reference, scalar(, \w+( \(not on this CPU\))?)*\n$")
                self.assertEqual(run(program, "--help", env={"ENTROFS_KERNEL": "no"}).returncode, 0)
                if program == "mount.entrofs":  # its page refers to that of entrofs
                    continue
                with open(glob.glob(os.path.join(ROOT, "man", program + ".[18]"))[0], encoding="utf-8") as file:
                    self.assertIn(".It Ev ENTROFS_KERNEL", file.read())


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.model = os.path.join(cls.scratch.name, "model")
        cls.image = os.path.join(cls.scratch.name, "model.efs")
        os.makedirs(cls.model)
        tensors = {"a\x1b[2J": modellib.Tensor.of("F32", np.linspace(-1, 2, 5000).reshape(50, 100)),
                   "b": modellib.Tensor.of("BF16", np.ones((3, 1000))),
                   "c": modellib.Tensor.of("F32", np.ones(7))}
        modellib.write_safetensors(os.path.join(cls.model, "model.safetensors"), tensors)
        done = run("mkentrofs", "--json", "--bits-for=b=4", cls.model, cls.image)
        assert done.returncode == 0, done.stderr
        cls.report = json.loads(done.stdout)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_figures_agree(self):
        """mkentrofs and dump.entrofs say the same of an image, and space adds up to its size."""
        shown = json.loads(run("dump.entrofs", "--json", self.image).stdout)
        self.assertEqual(sum(self.report["stored"].values()), os.path.getsize(self.image))
        space = shown["space"]
        self.assertEqual(space.pop("total"), self.report["image_bytes"])
        self.assertEqual(space, self.report["stored"])
        for mine, other in zip(self.report["tensors"], shown["tensors"], strict=True):
            for key in ("name", "dtype", "shape", "bits", "stored_bytes", "payload", "index", "padding"):
                self.assertEqual(mine[key], other[key], key)
            self.assertEqual(mine["stored_bytes"], mine["payload"] + mine["index"] + mine["padding"])
            for key in ("bits_per_weight", "entropy_bits", "sqnr_db", "max_error"):
                if mine["bits"] is None and key not in mine:
                    continue
                if mine[key] is not None:
                    self.assertAlmostEqual(mine[key], other[key], delta=abs(mine[key]) * 2e-3, msg=key)

    def test_names_are_fit_for_a_terminal(self):
        for done in (run("mkentrofs", "--force", "--verbose", self.model, self.image),
                     run("dump.entrofs", self.image)):
            self.assertEqual(done.returncode, 0)
            self.assertNotIn("\x1b", done.stdout)

    def test_full_disk_behind_stdout(self):
        for program, arguments in (("fsck.entrofs", []), ("dump.entrofs", []), ("dump.entrofs", ["--json"])):
            with open("/dev/full", "w", encoding="ascii") as full:
                done = run(program, *arguments, self.image, stdout=full)
            self.assertEqual(done.returncode, FAILED[program])
            self.assertIn("cannot write 'standard output': No space left", done.stderr)

    def test_offsets(self):
        inside = os.path.join(self.scratch.name, "inside")
        with open(inside, "wb") as file, open(self.image, "rb") as image:
            file.write(bytes(8192) + image.read())
        for program in ("fsck.entrofs", "dump.entrofs"):
            for offset in ("8192", "8k"):
                self.assertEqual(run(program, "--offset=" + offset, inside).returncode, 0)
            for offset in ("", "k", "8K", "8kk", "0x2000", "-1", "9223372036854775808", "8388608T"):
                done = run(program, "--offset=" + offset, inside)
                self.assertEqual(done.returncode, USAGE[program], offset)


if __name__ == "__main__":
    unittest.main()
