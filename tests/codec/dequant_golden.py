#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Prints tests/unit/dequant_golden.h: what a few codes stand for, computed with fractions.

A number is found by its definition, in Python's exact rationals: nearest_bits() knows nothing of how the
kernels do it.
"""
import math
import struct
from fractions import Fraction

# name: digits of the significand, exponent of the smallest subnormal number, bits
TYPES = {"F32": (24, -149, 32), "F16": (11, -24, 16), "BF16": (8, -133, 16)}


def float_of(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def nearest_bits(value, minus, name):
    """The bits of the number nearest to a Fraction that is not negative, halves to even."""
    digits, least, width = TYPES[name]
    infinity = ((1 << width - digits) - 1) << digits - 1
    sign = 1 << width - 1 if minus else 0
    if value == 0:
        return sign
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    if Fraction(2) ** exponent > value:
        exponent -= 1
    unit = max(exponent - digits + 1, least)
    multiple = round(value / Fraction(2) ** unit)  # of a Fraction: to the nearest integer, halves to even
    if multiple == 1 << digits:
        multiple, unit = multiple >> 1, unit + 1
    if multiple < 1 << digits - 1:
        return sign | multiple  # subnormal
    bits = (unit - least + 1) << digits - 1 | multiple - (1 << digits - 1)
    return sign | min(bits, infinity)


def number(scale_bits, zero_point, code, name):
    scale = float_of(scale_bits)
    minus = (math.copysign(1, scale) < 0) != (code < zero_point)
    return nearest_bits(abs(Fraction(scale) * (code - zero_point)), minus, name)


CASES = [  # scale bits, zero point, code, why
    (0x3c4a4588, 121, 0, "a usual scale"),
    (0x3c4a4588, 121, 122, ""),
    (0x3c4a4588, 121, 255, ""),
    (0x3c4a4588, 7, 15, ""),
    (0x3f800000, 0, 255, "exact"),
    (0x3f800000, 128, 128, "zero is positive"),
    (0xbf800000, 128, 128, "... and negative with a negative scale"),
    (0xbd12f1a9, 0, 200, "a tensor of negative weights"),
    (0x00000000, 3, 9, "scale zero"),
    (0x00000000, 9, 3, ""),
    (0x80000000, 3, 9, ""),
    (0x00000001, 0, 1, "the smallest scale"),
    (0x00000001, 0, 255, ""),
    (0x00008000, 0, 1, "BF16: half of the smallest subnormal number, to even"),
    (0x00008000, 0, 3, "BF16: one and a half"),
    (0x00008001, 0, 1, "BF16: just above half"),
    (0x007fffff, 0, 1, "the largest subnormal scale"),
    (0x33000000, 0, 1, "F16: half of the smallest subnormal number, to even"),
    (0x33000001, 0, 1, "F16: just above half"),
    (0x33000000, 0, 3, "F16: one and a half"),
    (0x387fc000, 0, 1, "F16: the largest subnormal number"),
    (0x387fe000, 0, 1, "F16: halfway to the smallest normal number"),
    (0x477fe000, 0, 1, "F16: the largest number"),
    (0x477fefff, 0, 1, "F16: just below the limit"),
    (0x477ff000, 0, 1, "F16: the limit, infinity"),
    (0x43800000, 0, 255, "F16: 65280"),
    (0x43808080, 0, 255, "F16: above the limit"),
    (0x7f7fffff, 0, 1, "the largest scale"),
    (0x7f7fffff, 0, 2, ""),
    (0x7f7fffff, 2, 0, ""),
    (0x7f7f7fff, 0, 1, "BF16: just below the limit"),
    (0x7f7f8000, 0, 1, "BF16: the limit, infinity"),
    (0x3f808000, 0, 1, "BF16: a half, down to even"),
    (0x3f818000, 0, 1, "BF16: a half, up to even"),
    (0x3f801000, 0, 1, "F16: a half, down to even"),
    (0x3f803000, 0, 1, "F16: a half, up to even"),
    (0x3fabcdef, 2147483647, 0, "the largest zero point"),
    (0x3fabcdef, 2147483647, 255, ""),
    (0x3fabcdef, -2147483648, 255, "the smallest zero point: a difference of 33 bits"),
    (0x3fffffff, -2147483648, 255, "a product of 56 bits"),
    (0x00000001, -2147483648, 0, ""),
    (0x7f7fffff, -2147483648, 255, ""),
    (0x3f800001, 16777217, 0, "a difference that F32 cannot hold"),
    (0x3f800001, -16777216, 15, ""),
]


def traps():
    """Products that look halfway once they have been rounded to F32: rounding twice goes wrong."""
    for name, shift in (("BF16", 16), ("F16", 13)):
        found = 0
        for k in range(1, 4000):
            half = 0x3f800000 + (2 * k + 1 << shift - 1)
            code = 2 + k * 7 % 254
            scale = struct.unpack("<I", struct.pack("<f", float_of(half) / code))[0]
            product = Fraction(float_of(scale)) * code
            once = nearest_bits(product, False, name)
            seen = Fraction(float_of(nearest_bits(product, False, "F32")))
            if nearest_bits(seen, False, name) != once:
                yield scale, 0, code, f"{name}: rounding twice goes wrong"
                found += 1
                if found == 6:
                    break


def render():
    lines = [
        "/* SPDX-License-Identifier: MIT */",
        "/* dequant_golden.h - what codes stand for; made by tests/codec/dequant_golden.py. */",
        "struct golden {",
        "\tuint32_t scale; /* bits */",
        "\tint32_t zero_point;",
        "\tunsigned code;",
        "\tuint32_t f32, f16, bf16; /* bits */",
        "\tconst char *why;",
        "};",
        "",
        "/* clang-format off */",
        "static const struct golden golden[] = {",
    ]
    for scale, zero_point, code, why in CASES + list(traps()):
        numbers = ", ".join(f"0x{number(scale, zero_point, code, name):0{TYPES[name][2] // 4}x}" for name in TYPES)
        zero = "INT32_MIN" if zero_point == -2**31 else str(zero_point)
        lines.append(f"\t{{0x{scale:08x}, {zero}, {code}, {numbers}, \"{why}\"}},")
    lines += ["};", "/* clang-format on */"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render(), end="")
