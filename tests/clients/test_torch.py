# SPDX-License-Identifier: MIT
"""PyTorch runs the bundled model from the safetensors file of a mount, as a program that knows no other format."""
import os
import subprocess
import sys
import unittest

import numpy as np

from clientlib import HERE, MODEL, debian_environment, need_debian
from mountlib import Mount, must, open_workshop, program
import reference

PROMPT = "It was"
TEXT = " the first time I had been to see the Count"  # which the demo prints after it


def setUpModule():
    global shop, tokenizer
    need_debian("python3-torch")
    shop = open_workshop()
    tokenizer = reference.Tokenizer(MODEL)


class Bundled(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mount = Mount(shop.pack(MODEL, "model.efs")).__enter__()
        cls.addClassCleanup(cls.mount.__exit__, None, None, None)
        ids = tokenizer.encode(PROMPT)
        following = len(tokenizer.encode(PROMPT + TEXT)) - len(ids)
        out = shop.path("torch")
        done = subprocess.run(
            [sys.executable, os.path.join(HERE, "torch_llama.py"), cls.mount / "model.safetensors",
             cls.mount / "config.json", out, str(following), *map(str, ids)],
            env=debian_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300,
            check=False)
        if done.returncode:
            raise AssertionError(done.stderr)
        cls.following = [int(word) for word in done.stdout.split()]
        cls.logits = np.fromfile(out, "<f4").reshape(len(ids) + following, -1)

    def demo_logits(self, folder):
        out = shop.path("demo")
        must(program("entrofs-run"), folder, f"--prompt={PROMPT}{TEXT}", "--tokens=0", f"--logits={out}")
        return np.fromfile(out, "<f4").reshape(self.logits.shape)

    def test_text(self):
        self.assertEqual(tokenizer.decode(self.following), TEXT)

    def test_logits_of_the_same_weights(self):
        """The mount's BF16 weights, packed once more and kept as they are, make entrofs-run find the same: it
        and PyTorch add in F32, in another order."""
        with Mount(shop.pack(self.mount.path, "again.efs", "--keep=.")) as again:
            difference = np.abs(self.demo_logits(again.path) - self.logits)
        self.assertLess(difference.max(), 1e-3)
        self.assertGreater(np.abs(self.logits).max(), 1)

    def test_logits_of_the_demo(self):
        """The demo reads codes. Its weights are the numbers that the safetensors file has rounded to BF16, of 8
        bits: relative errors of up to 2**-9 in each make 0.08 in logits of up to 11.5."""
        self.assertLess(np.abs(self.demo_logits(self.mount.path) - self.logits).max(), 0.12)


if __name__ == "__main__":
    unittest.main()
