# SPDX-License-Identifier: MIT
"""For tests that run mkentrofs: a model folder, a place for the image, and runs that are stopped."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import numpy as np

import modellib
from modellib import Tensor

BUILD = os.environ.get("BUILD", "build")
PROGRAM = os.path.join(BUILD, "mkentrofs")


def run(*arguments, **options):
    return subprocess.run([PROGRAM, *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=300, check=False, **options)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.model = self.path("model")
        self.image = self.path("out/model.efs")
        os.makedirs(self.model)
        os.makedirs(self.path("out"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, tensors, name="model.safetensors", metadata=None):
        modellib.write_safetensors(os.path.join(self.model, name), tensors, metadata)

    def pack(self, *options, source=None):
        done = run(*options, source or self.model, self.image)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def fails(self, pattern, *options, source=None, status=1, left=()):
        """The run ends with this status and message, and leaves nothing behind."""
        done = run(*options, source or self.model, self.image)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertRegex(done.stderr, pattern)
        self.assertEqual(done.stdout, "")
        self.assertEqual(sorted(os.listdir(self.path("out"))), sorted(left))

    def extract(self):
        target = self.path("extracted")
        shutil.rmtree(target, ignore_errors=True)
        fsck = os.path.join(BUILD, "fsck.entrofs")
        done = subprocess.run([fsck, "--quiet", "--deep", f"--extract={target}", self.image],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        return target

    def manifest(self, root):
        with open(os.path.join(root, "quantized/manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        self.assertEqual(manifest["format"], 1)
        return {entry["name"]: entry for entry in manifest["tensors"]}

    def write_large(self):
        """A model that takes a while."""
        noise = np.random.default_rng(1).integers(0, 1 << 15, 8 << 20, dtype=np.uint16) & 0xbfff
        self.write({"w": Tensor("BF16", [4096, 2048], noise.tobytes())})

    def start(self, *options, wrap=(), until, **popen):
        """A run, stopped (SIGSTOP) as soon as until(process) holds."""
        process = subprocess.Popen([*wrap, PROGRAM, *options, self.model, self.image], text=True,
                                   stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, **popen)
        self.addCleanup(process.stderr.close)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        deadline = time.monotonic() + 20
        while not until(process):
            self.assertIsNone(process.poll(), "it has ended")
            self.assertLess(time.monotonic(), deadline)
        process.send_signal(signal.SIGSTOP)
        return process

    def resume(self, process):
        """Lets it go on to its end; what it said."""
        process.send_signal(signal.SIGCONT)
        return process.communicate(timeout=60)[1]


def is_packing(process):
    """Whether a run has opened its output and started threads."""
    try:
        return len(os.listdir(f"/proc/{process.pid}/task")) > 1
    except FileNotFoundError:
        return False


def why_no_namespace():
    """The reason why a mount namespace of one's own cannot be had, or None."""
    done = subprocess.run(["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /proc/$$/fd"],
                          check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip() or "unshare fails" if done.returncode else None


def read(*parts):
    with open(os.path.join(*parts), "rb") as file:
        return file.read()
