# SPDX-License-Identifier: MIT
"""llama.cpp runs GGUF files of a mount as it runs them from a disk, in each of the ways it loads them."""
import contextlib
import glob
import json
import os
import re
import shutil
import struct
import unittest

from clientlib import MODEL, SHARED, need_npm
import gguflib
from llamalib import MODES, greedy, perplexity
from mountlib import Mount, must, open_workshop, program

PROMPTS = ["It was", "Once upon a time", "\"I do not know,\" she answered, \"why"]
TOKENS = 11
# The first prompt as one of the models goes on with it, in any program.
KNOWN = "novella-7m-f16.gguf", " the first time I had been to see the Count's"
HELDOUT = os.path.join(SHARED, "novella-7m.heldout.txt")


def setUpModule():
    global shop, originals
    need_npm("node-llama-cpp")
    originals = sorted(glob.glob(os.path.join(SHARED, "gguf", "*.gguf")))
    if not originals:
        raise unittest.SkipTest("../shared/models/gguf is not here")
    shop = open_workshop()


def pack_lossless():
    """All of them in one image, as they are."""
    return [shop.pack(os.path.dirname(originals[0]), "lossless.efs", "--lossless")]


def pack_view():
    """Models in float become ones of Q8_0, or of Q4_0 and Q4_1."""
    return [shop.pack(file, f"view-{number}-{bits}.efs", f"--bits={bits}") for bits in (8, 4)
            for number, file in enumerate(originals) if re.search("-f(16|32).gguf$", file)]


def in_floats(data):
    """A GGUF file with F32 numbers in the place of blocks: those that the blocks stand for."""
    file = gguflib.Read(data)
    pairs = [raw for key, raw in file.pairs if key not in ("general.file_type", "general.quantization_version")]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(file.tensors), len(pairs)) + b"".join(pairs)
    body = b""
    for name, shape, kind, raw in file.tensors:
        if kind.startswith("Q"):
            kind, raw = "F32", gguflib.numbers(kind, raw).astype("<f4").tobytes()
        head += gguflib.text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape[::-1])
        head += struct.pack("<IQ", gguflib.TYPES[kind], len(body))
        body += raw + bytes(-len(raw) % file.alignment)
    return head + bytes(-len(head) % file.alignment) + body


class Greedy(unittest.TestCase):
    def check(self, images, prompts):
        """The continuations, to the last bit of each probability, are those of the same file on disk. The files."""
        with contextlib.ExitStack() as stack:
            files, jobs = [], []
            for image in images:
                mount = stack.enter_context(Mount(image))
                for file in sorted(glob.glob(f"{mount.path}/*.gguf")):
                    copy = shutil.copy(file, shop.path(f"{os.path.basename(image)}.{os.path.basename(file)}"))
                    files.append(copy)
                    jobs += [(copy, "read"), *((file, mode) for mode in MODES)]
            self.assertTrue(files)
            answers = iter(greedy(jobs, prompts, TOKENS))
        for file in files:
            copied = next(answers)
            self.assertEqual([len(text["tokens"]) for text in copied["texts"]], [TOKENS] * len(prompts))
            if file.endswith(KNOWN[0]) and "-4.efs" not in file:
                self.assertEqual(copied["texts"][0]["text"], KNOWN[1])
            for mode, (_, load_mode, mapped) in MODES.items():
                with self.subTest(file=file, mode=mode):
                    mounted = next(answers)
                    self.assertEqual((mounted["loadMode"], set(mounted["mapped"])), (load_mode, mapped))
                    self.assertEqual(mounted["texts"], copied["texts"])
        return files

    def test_lossless(self):
        files = self.check(pack_lossless(), PROMPTS)
        self.assertEqual(len(files), len(originals))
        for file, original in zip(files, originals):
            must("cmp", file, original)

    def test_view(self):
        self.check(pack_view(), PROMPTS[:1])


class Perplexity(unittest.TestCase):
    def test_views(self):
        """Blocks are worth what the numbers are that they stand for, in a file of F32; llama.cpp rounds what it
        multiplies them with to eight bits. And 8 bits are worth what the float model is."""
        with open(HELDOUT, encoding="utf-8") as file:
            text = file.read(3000)
        float_model = os.path.join(SHARED, "gguf", KNOWN[0])
        want, factors = perplexity(float_model, text), {8: 1.01, 4: 3}
        for bits, most in factors.items():
            with Mount(shop.pack(float_model, f"blocks-{bits}.efs", f"--bits={bits}")) as mount:
                got = perplexity(mount / KNOWN[0], text)
                with open(mount / KNOWN[0], "rb") as view, open(shop.path("f32.gguf"), "wb") as floats:
                    floats.write(in_floats(view.read()))
                same, other = greedy([(mount / KNOWN[0], "mmap"), (shop.path("f32.gguf"), "read")], PROMPTS[:1], TOKENS)
            equal = perplexity(shop.path("f32.gguf"), text)
            print(f"perplexity with {bits} bits: {got:.3f}, as F32 {equal:.3f}, in float {want:.3f}")
            self.assertLess(abs(got / equal - 1), 0.01)
            self.assertEqual(same["texts"][0]["text"], other["texts"][0]["text"])
            self.assertLess(got / want, most)

    def test_that_of_another_program(self):
        """entrofs-run finds the same with the same weights, which F16 and BF16 both hold: the mean of -ln p to
        a thousandth, as llama.cpp keeps what attention looks back at as F16."""
        with open(HELDOUT, encoding="utf-8") as file:
            text = file.read(1600)
        with open(shop.path("text"), "w", encoding="utf-8") as file:
            file.write(text)
        got = perplexity(os.path.join(SHARED, "gguf", KNOWN[0]), text)
        with Mount(shop.pack(MODEL, "kept.efs", "--keep=.")) as mount:
            want = json.loads(must(program("entrofs-run"), mount.path, "--json", f"--perplexity={shop.path('text')}"))
        self.assertGreater(want["counted"], 400)
        self.assertLess(abs(got / want["perplexity"] - 1), 1e-3)


if __name__ == "__main__":
    unittest.main()
