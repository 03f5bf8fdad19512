# SPDX-License-Identifier: MIT
"""tests/reader.py, which knows docs/format.md only, against the C programs: both must read the same from an image.

What mkentrofs writes is as the page says if a reader made from the page decodes it; and the page's own example must
decode as it says.
"""
import hashlib
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

import modellib
import reader
from test_fsck import hash_tree, seal

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
SUPERBLOCK = 4096


def run(program, *arguments):
    done = subprocess.run([os.path.join(BUILD, program), *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    return done.stdout


def tree(folder):
    """The bytes of all files by path."""
    files = {}
    for base, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            with open(path, "rb") as file:
                files[os.path.relpath(path, folder)] = file.read()
    return files


def small_varied():
    """Every scheme and dtype, two hundred kilobytes or so of each."""
    tensors = modellib.varied_tensors()
    embed = tensors["model.embed.weight"]
    tensors["model.embed.weight"] = modellib.Tensor("F32", [100, 2048], embed.raw[:100 * 2048 * 4])
    return tensors


def trained():
    """Real weights: tensors of the demo's model until there are a million."""
    tensors, weights = {}, 0
    for name, tensor in modellib.read_safetensors(os.path.join(ROOT, "runtime-demo/model/model.safetensors")).items():
        if weights < 1 << 20 and len(tensor.raw) < 2 << 20:
            tensors[name] = tensor
            weights += len(tensor.raw) // 2
    return tensors


class Images(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="entrofs-reader-")

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.scratch.name, name)

    @classmethod
    def pack(cls, name, tensors, *options):
        image = cls.path(name + ".efs")
        modellib.write_model(cls.path(name), tensors)
        run("mkentrofs", *options, cls.path(name), image)
        return image


class SameFiles(Images):
    def check(self, name, tensors, bits):
        name += str(bits)
        path = self.pack(name, tensors, f"--bits={bits}")
        run("fsck.entrofs", f"--extract={self.path(name + '.c')}", path)
        self.assertEqual(os.path.getsize(path) % 512, 0, "a loop device holds all of it")
        image = reader.open_image(path)
        image.check_all()
        image.extract(self.path(name + ".py"))
        expected, found = tree(self.path(name + ".c")), tree(self.path(name + ".py"))
        self.assertGreater(len(expected), len(tensors))
        self.assertEqual(sorted(found), sorted(expected))
        for file in expected:
            self.assertTrue(found[file] == expected[file], file)
        self.check_tensors(image, tensors, bits)

    def check_tensors(self, image, tensors, bits):
        self.assertEqual([tensor.name.decode() for tensor in image.tensors], list(tensors))
        for tensor, source in zip(image.tensors, tensors.values()):
            self.assertEqual((tensor.dtype, tensor.shape), (source.dtype, source.shape))
            raw = image.read_stream(tensor.stream)
            self.assertTrue(raw == modellib.expected_bytes(source, bits), tensor.name)
            self.assertEqual(tensor.bits, bits if source.is_quantized() else 0)
            if tensor.bits:
                scheme, scale, zero_point, _ = modellib.quantize(source.values(), bits)
                self.assertEqual((tensor.scheme, tensor.params), (scheme, [(scale, zero_point)]))

    def test_trained_uint8(self):
        self.check("trained", trained(), 8)

    def test_trained_uint4(self):
        self.check("trained", trained(), 4)

    def test_varied_uint8(self):
        self.check("varied", small_varied(), 8)

    def test_varied_uint4(self):
        self.check("varied", small_varied(), 4)

    def test_several_tables(self):
        self.check("spread", modellib.spread_tensors(1 << 18), 8)
        self.assertGreater(max(len(stream.tables) for stream in reader.open_image(self.path("spread8.efs")).streams), 2)


class Refused(Images):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tensors = small_varied()
        del tensors["model.embed.weight"], tensors["model.layer.1.weight"]
        cls.image = cls.pack("model", tensors)
        with open(cls.image, "rb") as file:
            cls.bytes = file.read()
        cls.hash_offset, = struct.unpack_from("<Q", cls.bytes, 64)

    def assert_refused(self, data, text=""):
        with self.assertRaisesRegex(reader.BadImage, text):
            reader.Image(bytes(data)).check_all()

    def flipped(self, at):
        data = bytearray(self.bytes)
        data[at] ^= 1 << random.Random(at).randrange(8)
        return data

    def reseal(self, data):
        """With a hash tree, digest and checksum that know nothing of the damage."""
        levels, root = hash_tree(bytes(data[SUPERBLOCK:self.hash_offset]))
        data[88:120], data[self.hash_offset:] = root, levels
        seal(data)
        return data

    @staticmethod
    def contents(image):
        return {node.path: b"".join(image.read_file(node)) for node in image.files()}

    def test_flipped_byte(self):
        reader.Image(self.bytes).check_all()
        for at in [0, 8, 12, 16, 24, 40, 100, 160, 1000, 4095]:
            self.assert_refused(self.flipped(at))
        for at in random.Random(1).sample(range(SUPERBLOCK, len(self.bytes)), 20):
            self.assert_refused(self.flipped(at), "hash")
        self.assert_refused(self.bytes[:-1], "cut off")

    def test_flipped_byte_under_right_hashes(self):
        self.assertEqual(self.reseal(bytearray(self.bytes)), self.bytes)
        intact, survivors = self.contents(reader.Image(self.bytes)), 0
        catalog, catalog_size = struct.unpack_from("<2Q", self.bytes, 40)
        places = random.Random(2).sample(range(SUPERBLOCK, self.hash_offset), 20)
        places += random.Random(3).sample(range(catalog - 400, catalog + catalog_size), 20)
        for at in places:
            with self.subTest(at=at):
                try:
                    image = reader.Image(bytes(self.reseal(self.flipped(at))))
                    image.check_all()
                except reader.BadImage:
                    continue
                # A zstd frame may survive: its matches may be found elsewhere, too.
                self.assertEqual(self.contents(image), intact)
                survivors += 1
        self.assertLess(survivors, len(places) // 4)

    def test_unknown_values(self):
        for at, text in (8, "version [^1]"), (24, "incompatible features"), (31, "incompatible features"):
            self.assert_refused(self.flipped(at), text)
        for at, text in (12, "superblock_size"), (80, "hash algorithm"), (85, "reserved"), (2000, "reserved"):
            self.assert_refused(self.reseal(self.flipped(at)), text)
        data = self.reseal(self.flipped(16))  # a compatible feature may use reserved bytes
        data[2000] = 1
        seal(data)
        reader.Image(bytes(data))

    def test_command_line(self):
        """Without site-packages: nothing but the standard library is imported."""
        def command(*arguments):
            return subprocess.run([sys.executable, "-S", os.path.join(ROOT, "tests/reader.py"), *arguments],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
        shifted = self.path("shifted")
        with open(shifted, "wb") as file:
            file.write(b"x" * 37 + self.bytes + b"behind")
        done = command("--offset=37", "--list", shifted)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("'quantized/tensors/positive.u8'", done.stdout)
        done = command(shifted)
        self.assertEqual((done.returncode, done.stderr), (1, f"{shifted}: not an entrofs image\n"))


class Page(Images):
    """The examples of docs/format.md."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with open(os.path.join(ROOT, "docs/format.md")) as file:
            text = file.read()
        start, middle = text.index("## Worked example"), text.index("The catalog's 470 raw bytes")
        cls.image = cls.dump(text[start:middle])
        cls.catalog = cls.dump(text[middle:text.index("## Code tables and coded blocks")])
        cls.table = bytearray(b"\xff" * 256)
        for value, symbols in ("0x01", "A"), ("0x12", "BC"), ("0x02", "D"):
            assert f"`{value}` at 0x{ord(symbols[0]):x}" in text
            for symbol in symbols.encode():
                cls.table[symbol] = int(value, 16)

    @staticmethod
    def dump(text):
        """The bytes of lines such as "    1000: 9a 22 | 00 ...   comment"."""
        data = bytearray()
        for line in re.finditer(r"^    ([0-9a-f]{3,4}): ((?:[0-9a-f]{2}(?: \| | {1,2}|$))+)", text, re.M):
            at, octets = int(line[1], 16), bytes.fromhex(line[2].replace("|", ""))
            data = data.ljust(at + len(octets), b"\0")
            data[at:at + len(octets)] = octets
        return data

    def test_block(self):
        decode_tree = reader.parse_table(self.table)
        self.assertEqual(reader.decode_block(decode_tree, b"\x9a\x22", 8), b"ABADCAAB")
        for stored in b"\x9a", b"\x9a\x22\0", b"\x9a\xa2":
            with self.assertRaises(reader.BadImage):
                reader.decode_block(decode_tree, stored, 8)

    def test_image(self):
        self.assertEqual(len(self.catalog), 470)
        index = self.table + struct.pack("<IHBB", zlib.crc32(b"ABADCAAB"), 2, 1, 0)
        image = self.image.ljust(0x1018, b"\0")
        for raw, size in (index, 41), (self.catalog, 222):
            with open(self.path("raw"), "wb") as file:
                file.write(raw)
            frame = subprocess.run(["zstd", "-19", "--no-check", "-cq", self.path("raw")], stdout=subprocess.PIPE,
                                   check=True).stdout
            if len(frame) + 8 != size:
                self.skipTest("the page's example is of zstd 1.5.4")
            image += frame + struct.pack("<2I", len(frame), zlib.crc32(raw))
            image += bytes(-len(image) % 8)
        image += bytes(-len(image) % 512)  # a hash tree without levels is where it ends
        example = reader.Image(bytes(image))
        example.check_all()
        self.assertEqual({node.path: b"".join(example.read_file(node)) for node in example.files()},
                         {b"config.json": b"{}\n", b"quantized/w.u8": b"ABADCAAB"})
        tensor, = example.tensors
        self.assertEqual(tensor, reader.Tensor(b"w", 0, 0, "F32", 8, "asymmetric", [2, 4], [(0.5, 66)], 0, 3, 1.75, 20,
                                               0.25, hashlib.sha256(b"ABADCAAB").digest(), 8))
        self.assertEqual((example.generator, example.shards), ("example 1", [b"m.safetensors"]))
        with open(self.path("example.efs"), "wb") as file:
            file.write(image)
        self.assertIn("clean", run("fsck.entrofs", "--deep", self.path("example.efs")))


if __name__ == "__main__":
    unittest.main()
