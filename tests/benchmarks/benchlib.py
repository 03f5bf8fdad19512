# SPDX-License-Identifier: MIT
"""What the tests of the benchmarks share: one run for many tests, and what it reports."""
import json
import os
import tempfile
import unittest


def skip_under_sanitizers():
    """For modules that test scripts, at length: the programs that these run have tests of their own."""
    if "address" in os.path.basename(os.path.normpath(os.environ.get("BUILD", "build"))):
        raise unittest.SkipTest("a sanitizer does not look into scripts")


class Reported(unittest.TestCase):
    """A class sets `done`, the finished run, which wrote `json` into `folder`."""

    @classmethod
    def make_folder(cls, **where):
        folder = tempfile.TemporaryDirectory(**where)  # pylint: disable=consider-using-with
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.json = os.path.join(cls.folder, "report.json")

    def rows(self):
        self.assertEqual(self.done.returncode, 0, self.done.stderr)
        with open(self.json, encoding="utf-8") as file:
            return json.load(file)
