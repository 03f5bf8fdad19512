# SPDX-License-Identifier: MIT
"""Lossless images: every byte comes back, and what has structure becomes smaller by it."""
import hashlib
import json
import os
import struct
import subprocess
import unittest

import numpy as np

import modellib
import reader
from mklib import BUILD, Case, read, run

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
FSCK = os.path.join(BUILD, "fsck.entrofs")
MODELS = os.path.join(ROOT, "../shared/models")


def weights(count, seed=1):
    return (np.random.default_rng(seed).standard_normal(count) * 0.02).astype("<f4")


def bfloats(count, seed=1):
    return (weights(count, seed).view("<u4") >> 16).astype("<u2").tobytes()


def q8_blocks(count, seed=1):
    """Blocks as GGUF's Q8_0 has them: an F16 scale and 32 codes."""
    dice = np.random.default_rng(seed)
    blocks = np.zeros((count, 34), "u1")
    blocks[:, :2] = (0.002 + 0.001 * dice.random(count)).astype("<f2").view("u1").reshape(-1, 2)
    blocks[:, 2:] = np.clip(np.rint(dice.standard_normal((count, 32)) * 40), -127, 127).astype("i1").view("u1")
    return blocks.tobytes()


def gguf(tensors, alignment=32):
    """A GGUF file of tensors (name, type, dims, data), with gaps where alignment asks for them."""
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 2)
    header += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    header += text("general.alignment") + struct.pack("<II", 4, alignment)
    data = b""
    for name, kind, dims, raw in tensors:
        data += bytes(-len(data) % alignment)
        header += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(data))
        data += raw
    return header + bytes(-len(header) % alignment) + data


class Lossless(Case):
    def put(self, name, data):
        path = os.path.join(self.model, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)

    def source_files(self):
        return {os.path.relpath(os.path.join(folder, name), self.model): read(folder, name)
                for folder, _, names in os.walk(self.model) for name in names}

    def check(self, *options, by_reader=True):
        """Packs, and finds each file again, in fsck's extraction and by the independent reader: the stored shares."""
        figures = json.loads(self.pack("--lossless", "--json", "--force", *options).stdout)
        root, want = self.extract(), self.source_files()
        manifest = json.loads(read(root, "lossless/manifest.json"))
        entries = {entry["path"]: entry for entry in manifest["files"]}
        self.assertEqual(sorted(entries), sorted(want))
        served = want
        if by_reader:
            image = reader.open_image(self.image)
            served = {os.fsdecode(node.path): b"".join(image.read_file(node)) for node in image.files()}
            self.assertEqual(sorted(served), sorted([*want, "lossless/manifest.json"]))
        for name, data in want.items():
            with self.subTest(name=name):
                self.assertTrue(read(root, name) == data)
                self.assertTrue(served[name] == data)
                self.assertEqual(entries[name]["bytes"], len(data))
                self.assertEqual(entries[name]["sha256"], hashlib.sha256(data).hexdigest())
        self.assertEqual(figures["image_bytes"], os.path.getsize(self.image))
        self.assertEqual(figures["source_bytes"], sum(map(len, want.values())))
        self.assertEqual(figures["files"], manifest["files"])
        return {name: entry["stored_bytes"] / max(entry["bytes"], 1) for name, entry in entries.items()}

    def test_tree(self):
        """Folders within folders, hidden files, links to files, names of all kinds, empty files, and many dtypes."""
        tensors = {}
        for i, dtype in enumerate(("F64", "F32", "F16", "BF16")):
            tensors[dtype] = modellib.Tensor.of(dtype, weights(20011, i))
            tensors[dtype + " small"] = modellib.Tensor.of(dtype, weights(5, i))
        for dtype in "BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64":
            tensors[dtype] = modellib.Tensor.of(dtype, np.arange(9001) % 100 < 7)
        os.makedirs(os.path.join(self.model, "sub/deep"))
        self.write(tensors, "sub/model.safetensors")
        self.put("config.json", b'{"a": 1}\n' * 100)
        self.put(".hidden", b"h")
        self.put("sub/empty", b"")
        self.put("sub/\u00fc \n'.txt", b"name")
        self.put("sub/deep/weights.bin", b"x" * 1001 + bfloats(200_000) + os.urandom(300_000))
        self.put("text.txt", b"the quick brown fox\n" * 40_000)
        os.symlink("../config.json", os.path.join(self.model, "sub/link.json"))
        os.makedirs(os.path.join(self.model, "nothing"))
        done = self.pack("--lossless")
        self.assertRegex(done.stderr, "^mkentrofs: note: '.*/nothing' is an empty folder, which an image does not have\n$")
        ratios = self.check("--jobs=3")
        self.assertLess(ratios["text.txt"], 0.02)
        first = read(self.image)
        self.check("--jobs=1", by_reader=False)
        self.assertTrue(read(self.image) == first, "the image depends on the number of threads")

    def test_one_file(self):
        path = self.path("some.bin")
        with open(path, "wb") as file:
            file.write(bfloats(300_000))
        self.pack("--lossless", source=path)
        root = self.extract()
        self.assertEqual(sorted(os.listdir(root)), ["lossless", "some.bin"])
        self.assertTrue(read(root, "some.bin") == read(path))

    def test_sizes(self):
        """What repeats itself is found by type, by measuring, and anywhere in a file; noise costs 0.1 %."""
        self.put("noise", np.random.default_rng(5).bytes(3_000_000))
        self.put("zeros", bytes(3_000_000))
        self.put("bf16", b"0" * 777 + bfloats(1_000_000))
        self.put("f32", struct.pack("<7i", *range(7)) + weights(500_000).tobytes())
        self.put("q8", b"some header, " * 17 + q8_blocks(30_000) + b"tail")
        dims, blocks = [32, 30_000], q8_blocks(30_000)
        self.put("a.gguf", gguf([("a", 8, dims, blocks), ("n", 0, [7], weights(7).tobytes()), ("b", 8, dims, blocks)]))
        self.put("odd.gguf", gguf([("a", 8, dims, blocks)])[:-1000])  # cut off: no GGUF file, but blocks
        self.put("odd.safetensors", struct.pack("<Q", 50) + b"{" * 50 + bfloats(500_000))
        ratios = self.check(by_reader=False)
        self.assertLess(ratios["noise"], 1.001)
        self.assertLess(ratios["zeros"], 0.001)
        for name, most in (("bf16", 0.67), ("f32", 0.84), ("q8", 0.92), ("a.gguf", 0.92), ("odd.gguf", 0.92),
                           ("odd.safetensors", 0.67)):
            self.assertLess(ratios[name], most, name)

    def test_gguf_types(self):
        """Files of every type, of whatever bytes, with gaps; whatever a header claims is only a hint."""
        sizes = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
                 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
                 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110),
                 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8),
                 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17)}
        dice, tensors = np.random.default_rng(3), []
        for kind, (block, size) in sizes.items():
            count = 20_000 // size
            columns = dice.integers(0, 256, size)  # bytes at the same place of a block are alike
            raw = (columns + dice.integers(0, 9, (count, size))).astype("u1").tobytes()
            tensors.append((f"t{kind}", kind, [block * count], raw))
        self.put("all.gguf", gguf(tensors, 64))
        self.assertLess(self.check()["all.gguf"], 0.8)

    def test_gguf_empty_tensor(self):
        """One behind which a gap is takes nothing away from the next."""
        tensors = [("t", 0, [50000], weights(50000).tobytes()), ("codes", 24, [9000], bytes(9000))]
        data, dims = gguf([("gap", 0, [8], bytes(32)), *tensors]), struct.pack("<IQ", 1, 8)
        self.assertEqual(data.count(dims), 1)
        self.put("gap.gguf", data.replace(dims, struct.pack("<IQ", 1, 0)))
        self.put("none.gguf", gguf(tensors))
        shares = self.check()
        self.assertAlmostEqual(shares["gap.gguf"], shares["none.gguf"], delta=0.01)

    def test_refused(self):
        self.put("a", b"x")
        self.put("folder/b", b"x")
        link = os.path.join(self.model, "link")
        for target, what in ("folder", "cannot pack '.*/link': a link to something else than a file"), \
                ("gone", "cannot read '.*/link': a link that leads nowhere: No such file or directory"):
            os.symlink(target, link)
            self.fails(f"^mkentrofs: {what}\n$", "--lossless")
            os.unlink(link)
        os.mkfifo(link)
        self.fails("^mkentrofs: cannot pack '.*/link': neither a file nor a folder\n$", "--lossless")
        os.unlink(link)
        self.fails("cannot open '.*/nowhere': No such file or directory", "--lossless", source=self.path("nowhere"))
        os.makedirs(self.path("void"))
        self.fails("cannot pack '.*/void': it has no files", "--lossless", source=self.path("void"))
        done = run("--lossless", "--force", self.model, os.path.join(self.model, "a"))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "it is a file of the model")
        self.assertEqual(read(self.model, "a"), b"x")
        for option in "--bits=8", "--bits-for=a=4", "--keep=a", "--view=model":
            self.fails(f"{option.split('=')[0]} has no meaning with --lossless", "--lossless", option, status=2)

    def bad_blocks(self, *options):
        done = subprocess.run([FSCK, "--json", *options, self.image], check=False, stdout=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 4)
        places = [finding["place"] for finding in json.loads(done.stdout)["findings"] if finding["kind"] == "block"]
        return sorted((place["stream"], place["block"]) for place in places)

    def test_damage(self):
        """Extraction names each bad block, and once, though what is read of records at a time ends within blocks."""
        self.put("q8.gguf", gguf([("t", 8, [32 * 100000], q8_blocks(100000))]))
        self.pack("--lossless")
        image, data = reader.open_image(self.image), bytearray(read(self.image))
        bad = [(0, 0), (0, 1), (0, 5), (1, 1), (1, 3), (2, 60), (2, 100), (2, 150), (2, 195)]
        for stream, block in bad:
            data[image.streams[stream].blocks[block].offset + 100] ^= 1
        with open(self.image, "wb") as file:
            file.write(data)
        self.assertEqual(self.bad_blocks("--deep"), bad)
        done = subprocess.run([FSCK, "--deep", self.image], check=False, stderr=subprocess.PIPE, text=True)
        for stream, block in bad:
            self.assertIn(f"': file 'q8.gguf': stream {stream}: block {block} at byte ", done.stderr)
        self.assertEqual(self.bad_blocks("--continue-on-error", f"--extract={self.path('rest')}"), bad)
        self.assertEqual(os.listdir(self.path("rest")), ["lossless"])

    def test_dry_run(self):
        """It tells the size exactly, and writes nothing."""
        self.put("a", bfloats(100_000))
        done = run("--lossless", "--dry-run", "--json", self.model)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        figures = json.loads(done.stdout)
        self.check()
        self.assertEqual(figures["image_bytes"], os.path.getsize(self.image))
        self.assertIsNone(figures["digest"])

    @unittest.skipUnless(os.path.isdir(MODELS), "skipped: no ../shared/models")
    def test_real_models(self):
        """Within 1.5 % of what the entropy of the parts allows, and smaller than zstd -19 makes them."""
        for name, entropy, zstd in (("novella-7m/model.safetensors", 0.660, 0.778),
                                    ("gguf/novella-7m-q8_0.gguf", 0.938, 0.949),
                                    ("gguf/novella-7m-q4_0.gguf", 0.895, 0.931)):
            with self.subTest(name=name):
                path = os.path.join(MODELS, name)
                self.pack("--lossless", "--force", source=path)
                ratio = os.path.getsize(self.image) / os.path.getsize(path)
                self.assertLess(ratio, entropy * 1.015)
                self.assertLess(ratio, zstd)
                self.assertTrue(read(self.extract(), os.path.basename(name)) == read(path))


if __name__ == "__main__":
    unittest.main()
