# SPDX-License-Identifier: MIT
"""NumPy loads and maps tensors of a mount in each of its ways: what it gets is computed from the source here."""
import errno
import os
import unittest

import numpy as np

from clientlib import small_model
import modellib
from mountlib import Mount, open_workshop

TENSORS = "model.layer.1.weight", "positive", "negative"


def setUpModule():
    global shop
    shop = open_workshop()


def backwards(array):
    """A copy, made a column after the other from the last one on."""
    out = np.empty(array.shape, array.dtype)
    for column in range(out.shape[1] - 1, -1, -1):
        out[:, column] = array[:, column]
    return out


class Arrays(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder, tensors = small_model(shop)
        image = shop.pack(folder, "model.efs", "--view=npy,npy-float,model")
        cls.mount = Mount(image).__enter__()
        cls.addClassCleanup(cls.mount.__exit__, None, None, None)
        cls.codes, cls.numbers = {}, {}
        for name in TENSORS:
            tensor = tensors[name]
            _, scale, zero, codes = modellib.quantize(tensor.values(), 8)
            cls.codes[name] = codes.reshape(tensor.shape)
            # A difference of codes times a scale of 24 bits: exact as F64, and rounded once here.
            numbers = np.float64(scale) * (cls.codes[name].astype("f8") - zero)
            cls.numbers[name] = numbers.astype("<f2" if tensor.dtype == "F16" else "<f4")

    def check(self, load):
        """load(path) of each codes' and each numbers' file."""
        for folder, arrays in ("npy", self.codes), ("npy-float", self.numbers):
            for name, want in arrays.items():
                with self.subTest(folder=folder, name=name):
                    got = load(self.mount / f"{folder}/{name}.npy")
                    self.assertEqual((got.dtype, got.shape), (want.dtype, want.shape))
                    self.assertTrue(np.array_equal(got, want))

    def test_load(self):
        self.check(np.load)

    def test_load_from_a_file(self):
        """An open file is read where it stands."""
        def load(path):
            with open(path, "rb") as file:
                return np.load(file)
        self.check(load)

    def test_load_mapped(self):
        for mode in "r", "c":
            self.check(lambda path: np.load(path, mmap_mode=mode))

    def test_columns_of_a_mapping(self):
        """Few bytes of each page, from the end to the beginning: faults in an order that nothing reads ahead."""
        self.check(lambda path: backwards(np.load(path, mmap_mode="r")))

    def test_memmap(self):
        """The codes' own files have no header; the header of an .npy file can be passed over."""
        for name, want in self.codes.items():
            got = np.memmap(self.mount / f"quantized/tensors/{name}.u8", np.uint8, "r", shape=want.shape)
            self.assertTrue(np.array_equal(got, want))
        for name, want in self.numbers.items():
            path = self.mount / f"npy-float/{name}.npy"
            offset = os.path.getsize(path) - want.nbytes
            self.assertTrue(np.array_equal(np.memmap(path, want.dtype, "r", offset, want.shape), want))

    def test_fromfile(self):
        for name, want in self.codes.items():
            first, count = want.size // 3, want.size // 2
            got = np.fromfile(self.mount / f"quantized/tensors/{name}.u8", np.uint8, count, offset=first)
            self.assertTrue(np.array_equal(got, want.reshape(-1)[first:first + count]))

    def test_a_private_mapping_can_be_changed(self):
        """And the file stays as it is."""
        path, want = self.mount / "npy/positive.npy", self.codes["positive"]
        array = np.load(path, mmap_mode="c")
        array[:] = 255 - array
        self.assertTrue(np.array_equal(array, 255 - want))
        self.assertTrue(np.array_equal(np.load(path), want))

    def test_writing_is_refused(self):
        for mode in "r+", "w+":
            with self.assertRaises(OSError) as caught:
                np.memmap(self.mount / "quantized/tensors/positive.u8", np.uint8, mode, shape=(1,))
            self.assertEqual(caught.exception.errno, errno.EROFS)


if __name__ == "__main__":
    unittest.main()
