# SPDX-License-Identifier: MIT
"""mkentrofs: what it must neither destroy nor pass on, whatever it is given."""
import os
import shutil
import subprocess
import tempfile
import unittest

import numpy as np

import modellib
from modellib import Tensor

BUILD = os.environ.get("BUILD", "build")
HOSTILE = "red\x1b[31m\u009b31m\nline"


def run(*arguments):
    return subprocess.run([os.path.join(BUILD, "mkentrofs"), *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, check=False)


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Hazards(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.model = self.path("model")
        self.weights = self.path("model", "model.safetensors")

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, tensors):
        modellib.write_model(self.model, tensors)

    def test_the_model_is_never_replaced(self):
        """Not even --force puts the image in the place of a file that it is made of."""
        self.write({"w": Tensor.of("F32", [[1.0, 2.0]])})
        os.symlink(self.weights, self.path("link"))
        os.link(self.path("model", "config.json"), self.path("config"))
        before = read(self.weights), read(self.path("config"))
        for source, target in ((self.model, self.weights), (self.weights, self.weights),
                               (self.model, self.path("link")), (self.path("link"), self.weights),
                               (self.model, self.path("config"))):
            done = run("--force", source, target)
            self.assertEqual(done.returncode, 1, target)
            self.assertIn(b"it is a file of the model", done.stderr)
        self.assertEqual((read(self.weights), read(self.path("config"))), before)
        self.assertTrue(os.path.islink(self.path("link")))

    def test_images_are_no_sidecars(self):
        """An image beside the model does not get into the next one."""
        self.write({"w": Tensor.of("F32", [[1.0, 2.0]])})
        image = os.path.join(self.model, "model.efs")
        self.assertEqual(run(self.model, image).returncode, 0)
        first = read(image)
        done = run("--force", self.model, image)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"skipping", done.stderr)
        self.assertEqual(read(image), first)

    def test_names_do_not_drive_the_terminal(self):
        """Control characters of a tensor's or a file's name are not printed."""
        self.write({HOSTILE: Tensor.of("F32", [[1.0, 2.0]]), HOSTILE + "norm": Tensor.of("F32", [1.0])})
        with open(os.path.join(self.model, HOSTILE + ".bin"), "wb"):
            pass
        good = run("--verbose", self.model, self.path("image"))
        self.assertEqual(good.returncode, 0, good.stderr)
        self.assertEqual(good.stderr.count(b"\n"), 1, good.stderr)
        self.write({HOSTILE: Tensor.of("F32", [[1.0, np.nan]])})
        bad = run(self.model, self.path("other"))
        self.assertEqual(bad.returncode, 1)
        self.assertEqual(bad.stderr.count(b"\n"), 2, bad.stderr)
        for said in good.stdout, good.stderr, bad.stderr:
            self.assertIn(b"red", said)
            self.assertNotIn(b"\x1b", said)
            self.assertNotIn("\u009b".encode(), said)


if __name__ == "__main__":
    unittest.main()
