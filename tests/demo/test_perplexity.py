# SPDX-License-Identifier: MIT
"""entrofs-run --perplexity against a computation in NumPy, in double precision, by the man page's words."""
import json
import os
import sys
import unittest

import numpy as np

import reference
from folders import NOVELLA, SHARED, STORIES, Folders, run

TEXT = ("\"My dear Watson,\" said he, as we rattled along in the train, \"you know my methods. It was upon the 4th of "
        "March, as I have good reason to remember, that I rose somewhat earlier than usual.\"\r\n\r\n\tThe old man "
        "laughed; it was a caf\u00e9 \u2014 na\u00efve, perhaps \u2014 in the rue d'Amsterdam, 1866.\n  He wasn't there.\n")
SETTINGS = ([], ["--window=64", "--skip=32"], ["--window=64", "--stride=30"], ["--window=50", "--stride=40", "--skip=25"],
            ["--window=64", "--skip=62"])


def expected(model, ids, prefix, options, context):
    """(mean of -ln p, predictions that count, windows), written from the man page."""
    given = dict(option[2:].split("=") for option in options)
    window = int(given.get("window", context))
    stride = int(given.get("stride", window - len(prefix)))
    skip = int(given.get("skip", 0))
    terms, counted, first, windows = [], set(), 0, 0
    while True:
        end = min(first + window - len(prefix), len(ids))
        held = prefix + ids[first:end]
        logits = model.logits(held)
        windows += 1
        for k in range(len(held) - 1):
            token = first + k + 1 - len(prefix)  # of the text, what prediction k predicts
            if k < skip or token < first or token in counted:
                continue
            counted.add(token)
            row = logits[k] - logits[k].max()
            terms.append(np.log(np.exp(row).sum()) - row[held[k + 1]])
        if end == len(ids):
            return np.mean(terms), len(terms), windows
        first += stride


class Perplexity(Folders):
    def file(self, text, name="text"):
        path = os.path.join(self.scratch.name, name)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return path

    def measure(self, folder, path, *options):
        done = run(folder, f"--perplexity={path}", "--json", *options)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return json.loads(done.stdout)

    def compare(self, folder, settings, text=TEXT):
        model, tokenizer = reference.Llama(folder), reference.Tokenizer(folder)
        ids = tokenizer.encode(text)
        prefix = [] if tokenizer.byte_level else ids[:1]
        ids = ids[len(prefix):]
        for options in settings:
            got = self.measure(folder, self.file(text), *options)
            mean, counted, windows = expected(model, ids, prefix, options, model.config["max_position_embeddings"])
            self.assertEqual((got["tokens"], got["counted"], got["windows"]), (len(ids), counted, windows), options)
            self.assertLess(abs(got["perplexity"] / np.exp(mean) - 1), 1e-3, options)
            self.assertAlmostEqual(got["mean_nll"], mean, delta=1e-4)

    def test_uint8(self):
        self.compare(self.folder(NOVELLA, 8), SETTINGS)

    def test_windows_of_the_whole_context(self):
        self.compare(self.folder(NOVELLA, 8), ([], ["--skip=128"], ["--stride=150"]), TEXT * 3)

    def test_uint4(self):
        self.compare(self.folder(NOVELLA, 4), SETTINGS[1:3])

    def test_kept_in_bf16(self):
        self.compare(self.folder(NOVELLA, 8, keep=lambda name: True), SETTINGS[1:2])

    def test_mixed(self):
        self.compare(self.folder(NOVELLA, 8, bits_for=lambda name: 4 if "mlp" in name else None,
                                 keep=lambda name: "o_proj" in name), SETTINGS[:1])

    def test_a_token_before_each_window(self):
        """stories260k: its post-processor puts <s> before a text."""
        for bits in (8, 4):
            self.compare(self.folder(STORIES, bits), SETTINGS if bits == 8 else SETTINGS[2:3])

    def test_text_that_is_no_text(self):
        folder = self.folder(NOVELLA, 8)
        got = self.measure(folder, self.file(b"a\0b\xff\xfe\r\n" * 20))
        self.assertEqual(got["counted"], got["tokens"] - 1)
        self.assertGreaterEqual(got["tokens"], 20 * 6)

    def test_threads_change_nothing(self):
        folder, path = self.folder(NOVELLA, 8), self.file(TEXT)
        self.assertEqual(self.measure(folder, path), self.measure(folder, path, "-j3"))

    def test_held_out_text(self):
        """The figures that belong to the bundled model, on the first 10 windows of its held-out text: every
        position of each window, and the second half of each."""
        whole = os.path.join(SHARED, "novella-7m.heldout.txt")
        if not os.path.exists(whole):
            self.skipTest("novella-7m.heldout.txt is not here")
        with open(whole, "rb") as file:
            path = self.file(file.read(8_000))
        folder = self.folder(NOVELLA, 8, keep=lambda name: True)
        for options, figure in (([], 49.0254), (["--skip=128"], 45.3669)):
            self.assertAlmostEqual(self.measure(folder, path, *options)["perplexity"], figure, delta=figure * 1e-3)

    def test_output(self):
        folder, path = self.folder(NOVELLA, 8), self.file(TEXT)
        done = run(folder, f"--perplexity={path}", "--stats")
        figures = self.measure(folder, path)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout.decode(), r"\Aperplexity +[0-9.]+ \+- [0-9.]+\npredictions +%d of %d tokens\n"
                         r"windows +1 of 256 tokens, stride 256, skip 0\n\Z" % (figures["counted"], figures["tokens"]))
        _, value, _, error = done.stdout.split()[:4]
        self.assertAlmostEqual(float(value), figures["perplexity"], delta=1e-4)
        self.assertAlmostEqual(float(error), figures["standard_error"], delta=1e-4)
        self.assertRegex(done.stderr, rb"\Aspeed +[0-9.]+ tokens/s\n\Z")

    def test_refused(self):
        folder, path = self.folder(NOVELLA, 8), self.file(TEXT)
        for arguments, message in (
                ([f"--perplexity={path}.no"], f"cannot open '{path}.no': No such file or directory"),
                (["--perplexity=/dev/null"], "cannot open '/dev/null': not a regular file"),
                ([f"--perplexity={self.file('', 'empty')}"], "cannot measure the text: its 0 tokens leave nothing to predict"),
                ([f"--perplexity={self.file('a', 'one')}"], "cannot measure the text: its 1 tokens leave nothing to predict"),
                ([f"--perplexity={path}", "--window=257"], "cannot use a window of 257 tokens: the model's context is 256"),
                ([f"--perplexity={path}", "--skip=255"], "cannot use a window of 256 tokens: it leaves nothing to predict"),
                ([f"--perplexity={path}", "--stride=257"], "cannot use a stride of 257 tokens: a window holds 256 of the text")):
            done = run(folder, *arguments)
            self.assertEqual((done.returncode, done.stdout), (1, b""))
            self.assertEqual(done.stderr.decode(), f"entrofs-run: {message}\n")
        large = self.file("", "large")
        os.truncate(large, (16 << 20) + 1)
        done = run(folder, f"--perplexity={large}")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"its 16777217 bytes are more than the 16777216 allowed", done.stderr)

    def test_usage(self):
        for arguments in (["--window=9"], ["--stride=9"], ["--skip=9"], ["--json"], ["--perplexity=x", "-pIt"], ["--perplexity=x", "--tokenize"],
                          ["--perplexity=x", "--logits=y"], ["--perplexity=x", "--window=1"], ["--perplexity=x", "--stride=0"],
                          ["--perplexity=x", "--window=8", "--stride=9"], ["--perplexity=x", "--window=8", "--skip=7"]):
            done = run("folder", *arguments)
            self.assertEqual((done.returncode, done.stdout), (2, b""), arguments)
            self.assertRegex(done.stderr.decode(), r"\Aentrofs-run: [^\n]+\nTry 'entrofs-run --help' for more information.\n\Z")


if __name__ == "__main__":
    sys.exit(unittest.main())
