# SPDX-License-Identifier: MIT
"""The tokenizers of entrofs-run against golden encodings and against an independent reading in Python.

golden/*.json were written once by golden/make.mjs, with a tokenizer that shares nothing with the program:
see there.
"""
import json
import os
import shutil
import sys
import unittest

import reference
import unicode_classes
from folders import NOVELLA, ROOT, STORIES, Folders, run

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")

TEXTS = [
    "It was", " It was", "It  was", "  two  spaces   three   ", "\n", "\n\n\nA\n \n B",
    "\t\ttabs\t and\r\nlines", "I'll don't he's we've I'm they're she'd 'tis 'LL it's's", "'", "''s",
    "x'", "12 345 6,789.01 7th A4", "naïve café Æsop œuvre", "“quoted” — dash…", "Привет мир",
    "日本語のテキスト", "हिन्दी", "٣٤ Ⅷ ½ ²", "😀👨\u200d👩 ok", "\u00a0nbsp\u00a0\u2003em\u3000wide",
    "<|endoftext|>", "a<|endoftext|> b<|endoftext|><|endof", "</s><s> x", "a\u0301e\u0308",
    "________", "!?...--;;(){}[]<>|", "MiXeD CaSe WORDS", "x" * 200, " " * 50 + "y",
    "\u2581already\u2581there",
]


class Golden(Folders):
    def check(self, name, source):
        folder = self.folder(source, 8)
        with open(os.path.join(GOLDEN, name + ".json"), encoding="ascii") as file:
            entries = json.load(file)
        for entry in entries:
            text = bytes.fromhex(entry["hex"]) if "hex" in entry else entry["text"].encode()
            done = run(folder, "--tokenize", b"--prompt=" + text)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertEqual([int(number) for number in done.stdout.split()], entry["ids"], text)
        self.assertGreater(len(entries), 100)

    def test_byte_level(self):
        self.check("novella-7m", NOVELLA)

    def test_characters(self):
        self.check("stories260k", STORIES)


class Tokens(Folders):
    def check(self, folder):
        tokenizer = reference.Tokenizer(folder)
        for text in TEXTS:
            got = [int(word) for word in self.text(folder, "--tokenize", "--prompt", text).split()]
            self.assertEqual(got, tokenizer.encode(text), repr(text))

    def test_byte_level(self):
        self.check(self.folder(NOVELLA, 8))

    def test_characters(self):
        self.check(self.folder(STORIES, 8))

    def test_known_values(self):
        """Fixed numbers: they do not follow the reference above if that is wrong."""
        with open(os.path.join(NOVELLA, "tokenizer.json")) as file:
            vocab = json.load(file)["model"]["vocab"]
        got = self.text(self.folder(NOVELLA, 8), "--tokenize", "--prompt", "It was  5's\n").split()
        words = ["It", "\u0120was", "\u0120", "\u0120", "5", "'s", "\u010a"]
        self.assertEqual([int(number) for number in got], [vocab[word] for word in words])

    def test_merges_as_pairs(self):
        def change(tokenizer):
            merges = tokenizer["model"]["merges"]
            tokenizer["model"]["merges"] = [line.split(" ") for line in merges]
        self.check(self.change("tokenizer.json", change))

    def test_digits_apart(self):
        def change(tokenizer):
            tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}]}
        folder = self.change("tokenizer.json", change)
        tokenizer = reference.Tokenizer(folder)
        got = self.text(folder, "--tokenize", "--prompt", "in 1866 or 7").split()
        parts = ["in ", "1", "8", "6", "6", " or ", "7"]
        self.assertEqual([int(number) for number in got],
                         [number for part in parts for number in tokenizer.encode_bytes(part)])

    def test_prefix_space(self):
        def change(tokenizer):
            tokenizer["pre_tokenizer"]["add_prefix_space"] = True
        folder = self.change("tokenizer.json", change)
        self.assertEqual(self.text(folder, "--tokenize", "--prompt=was it"),
                         self.text(folder, "--tokenize", "--prompt= was it"))

    def test_unicode_classes(self):
        """The table is what its generator makes of the Unicode version it names."""
        with open(os.path.join(ROOT, "runtime-demo", "unicode_classes.h")) as file:
            text = file.read()
        made = unicode_classes.header()
        if f"Unicode {unicode_classes.unicodedata.unidata_version}." not in text:
            self.skipTest("Python knows another version of Unicode")
        self.assertEqual(text.split(), made.split())

    def test_bytes_that_are_no_text(self):
        """Each byte that is not part of a character is one by itself, and has its own token."""
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]  # in byte-level tokenizers
        others = [byte for byte in range(256) if byte not in printable]
        with open(os.path.join(NOVELLA, "tokenizer.json"), encoding="utf-8") as file:
            vocabulary = json.load(file)["model"]["vocab"]
        for prompt in (b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"):
            done = run(NOVELLA, "--tokenize", b"-p" + prompt)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            characters = [chr(byte if byte in printable else 256 + others.index(byte)) for byte in prompt]
            self.assertEqual(done.stdout.split(), [b"%d" % vocabulary[each] for each in characters])

    def test_post_processor(self):
        """Tokens are put around a text where the post-processor says so, and nowhere else."""
        def template(before, after):
            specials = [{"SpecialToken": {"id": name, "type_id": 0}} for name in before + after]
            text = {"Sequence": {"id": "A", "type_id": 0}}
            return {"type": "TemplateProcessing", "single": specials[:len(before)] + [text] + specials[len(before):],
                    "special_tokens": {"a": {"id": "a", "ids": [7]}, "b": {"id": "b", "ids": [9, 8]}}}

        plain = self.text(self.folder(NOVELLA, 8), "--tokenize", "--prompt=It was").split()
        for before, after, first, last in ((["a"], [], ["7"], []), ([], ["b"], [], ["9", "8"]),
                                           (["b", "a"], ["a"], ["9", "8", "7"], ["7"])):
            processor = template(before, after)
            for value in (processor, {"type": "Sequence", "processors": [{"type": "ByteLevel"}, processor]}):
                folder = self.change("tokenizer.json", lambda t: t.update(post_processor=value))
                self.assertEqual(self.text(folder, "--tokenize", "--prompt=It was").split(), first + plain + last)
        folder = self.change("tokenizer.json", lambda t: t.update(post_processor={"type": "ByteLevel"}))
        self.assertEqual(self.text(folder, "--tokenize", "--prompt=It was").split(), plain)


if __name__ == "__main__":
    sys.exit(unittest.main())
