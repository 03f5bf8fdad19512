# SPDX-License-Identifier: MIT
"""The numbers that the dequantizing kernels are held to are those of exact fractions, and of NumPy."""
import os
import random
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dequant_golden as golden

try:
    import numpy
except ImportError:
    numpy = None

HEADER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../unit/dequant_golden.h")


def cases():
    """Products that a double holds: code minus zero point has less than 29 bits."""
    rng = random.Random(7)
    for _ in range(4000):
        bits = rng.choice((0, 1 << 31)) | rng.randrange(0x7f800000)
        if rng.random() < 0.5:  # where F16 is neither zero nor infinity
            bits = rng.choice((0, 1 << 31)) | rng.randrange(0x2f000000, 0x47000000)
        if rng.random() < 0.25:  # few digits: halves occur
            bits &= 0xffff0000
        yield bits, rng.choice((0, 8, 128, 255, rng.randrange(-2**24, 2**24))), rng.randrange(256)


class Golden(unittest.TestCase):
    def test_header_is_what_fractions_give(self):
        """tests/unit/dequant_golden.h is the output of dequant_golden.py, unchanged."""
        with open(HEADER) as file:
            self.assertEqual(file.read(), golden.render())

    def test_numpy_agrees(self):
        """Where NumPy rounds an exact double once, it gives the numbers of the fractions."""
        if numpy is None:
            self.skipTest("no numpy")
        with numpy.errstate(over="ignore"):
            for scale, zero, code in cases():
                product = numpy.float64(golden.float_of(scale)) * numpy.float64(code - zero)
                for name, got in (
                    ("F32", struct.unpack("<I", numpy.float32(product).tobytes())[0]),
                    ("F16", struct.unpack("<H", numpy.float16(product).tobytes())[0]),
                    ("BF16", self.bf16(product)),
                ):
                    self.assertEqual(
                        got, golden.number(scale, zero, code, name), f"{name} 0x{scale:08x} {zero} {code}"
                    )

    @staticmethod
    def bf16(product):
        """Eight digits, or multiples of 2^-133, then the upper half of an F32 that holds that exactly."""
        exponent = max(numpy.frexp(product)[1] - 8, -133)
        rounded = numpy.ldexp(numpy.rint(numpy.ldexp(product, -exponent)), exponent)
        return struct.unpack("<I", numpy.float32(rounded).tobytes())[0] >> 16


if __name__ == "__main__":
    unittest.main()
