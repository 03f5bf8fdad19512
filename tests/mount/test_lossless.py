# SPDX-License-Identifier: MIT
"""A mounted lossless image: the source's files, however they are read."""
import concurrent.futures
import json
import os
import struct
import unittest

import numpy as np

import modellib
from modellib import Tensor
from mountlib import Mount, all_files, contents, must, open_workshop, program
from test_reads import check_random_reads


def setUpModule():
    global shop, source, image
    shop = open_workshop()
    source, image = shop.path("source"), shop.path("lossless.efs")
    os.makedirs(os.path.join(source, "sub"))
    numbers = np.random.default_rng(1).standard_normal(600_011) * 0.02
    tensors = {f"{dtype}.{i}": Tensor.of(dtype, numbers[i:]) for dtype in ("BF16", "F32", "F16") for i in (0, 7)}
    modellib.write_safetensors(os.path.join(source, "model.safetensors"), tensors)
    blocks = np.random.default_rng(2).integers(0, 5, (60_000, 34)).astype("u1").tobytes()
    for name, data in {"blocks.bin": b"head" + blocks, "sub/config.json": b'{"a": 1}\n' * 99, "sub/empty": b"",
                       "llama2.bin": struct.pack("<7i", *range(7)) + numbers.astype("<f4").tobytes()}.items():
        with open(os.path.join(source, name), "wb") as file:
            file.write(data)
    must(program("mkentrofs"), "--lossless", source, image)


class Lossless(unittest.TestCase):
    def check(self, *options):
        with Mount(image, *options) as mount:
            manifest = json.loads(contents(mount / "lossless/manifest.json"))
            self.assertEqual(all_files(mount.path), sorted([*all_files(source), "lossless/manifest.json"]))
            self.assertEqual([entry["path"] for entry in manifest["files"]], sorted(all_files(source)))
            for name in all_files(source):
                with self.subTest(name):
                    self.assertEqual(os.stat(mount / name).st_size, os.path.getsize(os.path.join(source, name)))
                    self.assertTrue(contents(mount / name) == contents(os.path.join(source, name)))
            with concurrent.futures.ThreadPoolExecutor() as pool:
                jobs = [pool.submit(check_random_reads, mount / name, contents(os.path.join(source, name)), seed, 60)
                        for seed, name in enumerate(all_files(source))]
                self.assertEqual([job.result() for job in jobs], [None] * len(jobs))

    def test_default(self):
        self.check()

    def test_small_memory(self):
        """Without room for decoded blocks or read-ahead, by one thread."""
        self.check("-s", "-o", "cachesize=64k,readahead=0")

    def test_compressed(self):
        self.check("-o", "cache=compressed")


if __name__ == "__main__":
    unittest.main()
