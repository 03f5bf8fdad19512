# SPDX-License-Identifier: MIT
"""Types of command-line arguments, for argparse."""
import argparse


def positive(text):
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}': a number from 1 expected")
    return int(text)


def some_of(known):
    """A list of known words, with commas between them."""
    def parse(text):
        words = text.split(",")
        for word in words:
            if word not in known:
                raise argparse.ArgumentTypeError(f"'{word}': known are {', '.join(known)}")
        return words
    return parse
