# SPDX-License-Identifier: MIT
"""Model folders for the tests of entrofs-run, written by the tests' own quantizer: what they prove holds
without any image."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import reference

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(os.environ.get("BUILD", os.path.join(ROOT, "build")), "entrofs-run")
NOVELLA = os.path.join(ROOT, "runtime-demo", "model")
SHARED = os.path.join(ROOT, "..", "shared", "models")
STORIES = os.path.join(SHARED, "stories260k")


def shorten_tokenizer(tokenizer, merges=300):
    """Leaves a byte-level tokenizer.json its first merges, which are parsed faster; ids stay below 257 + merges."""
    model = tokenizer["model"]
    model["merges"] = model["merges"][:merges]
    known = {"".join(line.split(" ")) for line in model["merges"]}
    model["vocab"] = {text: number for text, number in model["vocab"].items() if len(text) == 1 or text in known}


def run(*arguments, **options):
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
               "timeout": 300, **options}
    return subprocess.run([PROGRAM, *arguments], check=False, **options)


class Folders(unittest.TestCase):
    """Model folders, each written once and shared by the tests, which do not change them."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="entrofs-demo-")
        cls.made = {}

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def folder(self, source, bits, **options):
        key = f"{os.path.basename(source)}-{bits}-{'-'.join(sorted(options))}"
        if not os.path.isdir(source):
            self.skipTest(f"{os.path.basename(source)} is not here")
        if key not in self.made:
            path = os.path.join(self.scratch.name, key)
            reference.write_folder(source, path, bits, **options)
            self.made[key] = path
        return self.made[key]

    def text(self, folder, *arguments):
        done = run(folder, *arguments)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout.decode()

    def copy(self, source=None):
        """A folder to break: its files are links to the good one's, so replace, never write into them."""
        path = tempfile.mkdtemp(dir=self.scratch.name)
        shutil.copytree(source or self.folder(NOVELLA, 8), path, copy_function=os.link, dirs_exist_ok=True)
        return path

    def light_copy(self, source=None):
        """The same, sharing the folder of tensors."""
        source, path = source or self.folder(NOVELLA, 8), tempfile.mkdtemp(dir=self.scratch.name)
        os.mkdir(os.path.join(path, "quantized"))
        for name in ("config.json", "tokenizer.json", "quantized/manifest.json"):
            os.link(os.path.join(source, name), os.path.join(path, name))
        os.symlink(os.path.join(source, "quantized/tensors"), os.path.join(path, "quantized/tensors"))
        return path

    def replace(self, folder, name, data):
        file = os.path.join(folder, name)
        os.remove(file)
        with open(file, "wb") as new:
            new.write(data)

    def change(self, name, change, source=None):
        """A copy of the good folder, one JSON file of it changed."""
        path = self.light_copy(source)
        with open(os.path.join(path, name)) as old:
            value = json.load(old)
        change(value)
        self.replace(path, name, json.dumps(value).encode())
        return path
