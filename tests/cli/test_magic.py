# SPDX-License-Identifier: MIT
"""The lines that entrofs(5) gives for file(1) tell an image from other files."""
import os
import shutil
import subprocess
import tempfile
import unittest

import modellib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))


class Magic(unittest.TestCase):
    def test_lines_of_the_page(self):
        if not shutil.which("file"):
            self.skipTest("file(1) is not installed")
        with open(os.path.join(ROOT, "man/entrofs.5"), encoding="utf-8") as page:
            lines = [line.replace("\\e", "\\") for line in page if line.startswith(("0 ", ">"))]
        self.assertEqual(len(lines), 3)
        with tempfile.TemporaryDirectory() as folder:
            magic, model, image = (os.path.join(folder, name) for name in ("magic", "model.safetensors", "i.efs"))
            with open(magic, "w", encoding="utf-8") as file:
                file.writelines(lines)
            modellib.write_safetensors(model, {"w": modellib.varied_tensors()["scalar"]})
            subprocess.run([os.path.join(BUILD, "mkentrofs"), model, image], check=True, stdout=subprocess.DEVNULL)
            told = subprocess.run(["file", "-b", "-m", magic, image, model], check=True, stdout=subprocess.PIPE, text=True)
            ours, other = told.stdout.splitlines()
            self.assertEqual(ours, f"entrofs model image, version 1, {os.path.getsize(image)} bytes")
            self.assertNotIn("entrofs", other)


if __name__ == "__main__":
    unittest.main()
