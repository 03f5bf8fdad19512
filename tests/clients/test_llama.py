# SPDX-License-Identifier: MIT
"""llama.cpp runs GGUF files of a mount as it runs them from a disk, in each of the ways it loads them."""
import contextlib
import functools
import glob
import json
import os
import re
import shutil
import unittest

from clientlib import MODEL, SHARED, need_npm
from llamalib import MODES, greedy, perplexity
from mountlib import Mount, must, open_workshop, program

PROMPTS = ["It was", "Once upon a time", "\"I do not know,\" she answered, \"why"]
TOKENS = 11
# The first prompt as one of the models goes on with it, in any program.
KNOWN = "novella-7m-f16.gguf", " the first time I had been to see the Count's"
SUFFIX = "-as-it-is"  # mkentrofs leaves out files that end in .gguf beside other weights
HELDOUT = os.path.join(SHARED, "novella-7m.heldout.txt")


def setUpModule():
    global shop, originals
    need_npm("node-llama-cpp")
    originals = sorted(glob.glob(os.path.join(SHARED, "gguf", "*.gguf")))
    if not originals:
        raise unittest.SkipTest("../shared/models/gguf is not here")
    shop = open_workshop()


@functools.cache
def pack_sidecars():
    """GGUF files beside a model are stored as they are, and so are its weights."""
    folder = shop.path("with-gguf")
    shutil.copytree(MODEL, folder)
    for file in originals:
        shutil.copy(file, os.path.join(folder, os.path.basename(file) + SUFFIX))
    return [shop.pack(folder, "sidecars.efs", "--keep=.")]


def pack_lossless():
    return [shop.pack(file, f"lossless-{number}.efs", "--lossless") for number, file in enumerate(originals)]


def pack_view():
    """Models in float become ones of Q8_0, or of Q4_0 and Q4_1."""
    return [shop.pack(file, f"view-{number}-{bits}.efs", f"--bits={bits}") for bits in (8, 4)
            for number, file in enumerate(originals) if re.search("-f(16|32).gguf$", file)]


# Where GGUF files of a mount come from: what mkentrofs --help says if it can make them, the images, and whether
# they are the files that were packed, byte for byte.
SOURCES = {
    "sidecars": ("", pack_sidecars, True),
    "lossless": ("--lossless", pack_lossless, True),
    "view": (r"--view=LIST((?!\n +-).)*gguf", pack_view, False),  # up to the next option
}


class Greedy(unittest.TestCase):
    def check(self, source):
        """The continuations, to the last bit of each probability, are those of the same file on disk."""
        help_has, pack, same = SOURCES[source]
        if not re.search(help_has, must(program("mkentrofs"), "--help"), re.S):
            self.skipTest(f"this mkentrofs makes no GGUF files of the kind '{source}'")
        with contextlib.ExitStack() as stack:
            files, jobs, less_exact = [], [], set()
            for number, image in enumerate(pack()):
                mount = stack.enter_context(Mount(image))
                for file in sorted(glob.glob(f"{mount.path}/**/*.gguf*", recursive=True)):
                    name = os.path.basename(file).removesuffix(SUFFIX)
                    copy = shutil.copy(file, shop.path(f"{source}-{number}-{name}"))
                    files.append((file, name))
                    if image.endswith("-4.efs"):
                        less_exact.add(file)
                    jobs += [(copy, "read"), *((file, mode) for mode in MODES)]
            self.assertTrue(files)
            if same:
                self.assertEqual(sorted(name for _, name in files), [os.path.basename(file) for file in originals])
                for file, name in files:
                    must("cmp", file, os.path.join(SHARED, "gguf", name))
            answers = iter(greedy(jobs, PROMPTS, TOKENS))
        for file, name in files:
            copied = next(answers)
            self.assertEqual([len(text["tokens"]) for text in copied["texts"]], [TOKENS] * len(PROMPTS))
            if name == KNOWN[0] and file not in less_exact:
                self.assertEqual(copied["texts"][0]["text"], KNOWN[1])
            for mode, (_, load_mode, mapped) in MODES.items():
                with self.subTest(file=file, mode=mode):
                    mounted = next(answers)
                    self.assertEqual((mounted["loadMode"], set(mounted["mapped"])), (load_mode, mapped))
                    self.assertEqual(mounted["texts"], copied["texts"])

    def test_sidecars(self):
        self.check("sidecars")

    def test_lossless(self):
        self.check("lossless")

    def test_view(self):
        self.check("view")


class Perplexity(unittest.TestCase):
    def test_views(self):
        """What llama.cpp makes of blocks is not far from the float model, for as many bits as they have."""
        with open(HELDOUT, encoding="utf-8") as file:
            text = file.read(3000)
        float_model = os.path.join(SHARED, "gguf", KNOWN[0])
        want, most = perplexity(float_model, text), {8: 1.01, 4: 3}
        for bits, factor in most.items():
            with Mount(shop.pack(float_model, f"blocks-{bits}.efs", f"--bits={bits}")) as mount:
                got = perplexity(mount / KNOWN[0], text)
            print(f"perplexity with {bits} bits: {got:.2f}, in float {want:.2f}")
            self.assertLess(got / want, factor)

    def test_that_of_another_program(self):
        """entrofs-run finds the same with the same weights, which F16 and BF16 both hold: the mean of -ln p to
        a thousandth, as llama.cpp keeps what attention looks back at as F16."""
        with open(HELDOUT, encoding="utf-8") as file:
            text = file.read(1600)
        with open(shop.path("text"), "w", encoding="utf-8") as file:
            file.write(text)
        with Mount(pack_sidecars()[0]) as mount:
            got = perplexity(mount / (KNOWN[0] + SUFFIX), text)
            want = json.loads(must(program("entrofs-run"), mount.path, "--json", f"--perplexity={shop.path('text')}"))
        self.assertGreater(want["counted"], 400)
        self.assertLess(abs(got / want["perplexity"] - 1), 1e-3)


if __name__ == "__main__":
    unittest.main()
