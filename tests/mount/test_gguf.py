# SPDX-License-Identifier: MIT
"""A mounted GGUF file: mapped and read as llama.cpp does, it is what --extract makes, and valid."""
import mmap
import os
import random
import unittest

import numpy as np

from mountlib import Mount, contents, open_workshop
import gguflib
from modellib import Tensor


def setUpModule():
    global shop
    shop = open_workshop()
    numbers = np.random.default_rng(1).standard_normal
    tensors = {"embed.weight": Tensor.of("F16", numbers((1200, 320)) * 0.02),
               "norm.weight": Tensor.of("F32", numbers(320)),
               "a.weight": Tensor.of("F32", numbers((320, 960)) * 0.03 + 0.02),
               "b.weight": Tensor.of("BF16", numbers((3, 64, 32)))}
    with open(shop.path("model.gguf"), "wb") as file:
        file.write(gguflib.build(tensors))


class Gguf(unittest.TestCase):
    def check(self, bits):
        image = shop.pack(shop.path("model.gguf"), f"{bits}.efs", "--bits", str(bits))
        expected = contents(os.path.join(shop.extract(image, f"{bits}.extracted"), "model.gguf"))
        with Mount(image) as mount, open(mount / "model.gguf", "rb", buffering=0) as file:
            chance = random.Random(bits)
            for _ in range(60):
                at, size = chance.randrange(len(expected)), chance.choice((1, 17, 34, 4096, 70_000))
                self.assertTrue(os.pread(file.fileno(), size, at) == expected[at:at + size], (at, size))
            with mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as mapped:
                self.assertTrue(mapped[:] == expected)
            file.seek(0)
            served = gguflib.Read(file.read())
        return {name: kind for name, _, kind, _ in served.tensors}

    def test_eight_bits(self):
        self.assertEqual(self.check(8), {"embed.weight": "Q8_0", "norm.weight": "F32", "a.weight": "Q8_0",
                                         "b.weight": "Q8_0"})

    def test_four_bits(self):
        kinds = self.check(4)
        self.assertEqual(kinds.pop("norm.weight"), "F32")
        self.assertLessEqual(set(kinds.values()), {"Q4_0", "Q4_1"})


if __name__ == "__main__":
    unittest.main()
