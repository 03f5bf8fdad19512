#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Prints runtime-demo/unicode_classes.h from Python's own Unicode tables.

Runs of code points of one class; unassigned, private and surrogate code points join the run before
them, which keeps the table short and decides nothing about real text.
"""
import unicodedata

SPACES = set([*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029,
              0x202F, 0x205F, 0x3000])


def char_class(code):
    """The White_Space property, \\p{L}, \\p{N}, the rest; None for what may join any run."""
    category = unicodedata.category(chr(code))
    if code in SPACES:
        return "SPACE"
    if category in ("Cn", "Co", "Cs"):
        return None
    return {"L": "LETTER", "N": "NUMBER"}.get(category[0], "OTHER")


def runs():
    last = None
    for code in range(0x110000):
        now = char_class(code)
        if now is not None and now != last:
            yield code, now
            last = now


def header():
    order = ["OTHER", "LETTER", "NUMBER", "SPACE"]
    lines = [
        "/* SPDX-License-Identifier: MIT */",
        "/*",
        " * unicode_classes.h - where letters, numbers and spaces begin and end in Unicode "
        f"{unicodedata.unidata_version}.",
        " *",
        " * Each entry is the first code point of a run, times 4, plus the class of the run; a run ends "
        "where",
        " * the next one begins. Made by tests/demo/unicode_classes.py from the Unicode Character "
        "Database.",
        " */",
        "#ifndef ENTROFS_RUN_UNICODE_CLASSES_H",
        "#define ENTROFS_RUN_UNICODE_CLASSES_H",
        "",
        '#include "runtime-demo/utf8.h"',
        "",
        "/* clang-format off */",
        "static const uint32_t unicode_classes[] = {",
    ]
    line = "\t"
    for code, name in runs():
        word = f"0x{code * 4 + order.index(name):x},"
        if len(line) + len(word) > 90:
            lines.append(line.rstrip())
            line = "\t"
        line += word + " "
    return "\n".join(lines + [line.rstrip(), "};", "/* clang-format on */", "", "#endif"]) + "\n"


if __name__ == "__main__":
    print(header(), end="")
