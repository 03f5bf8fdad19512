# SPDX-License-Identifier: MIT
"""fsck.entrofs on good, damaged, doctored and embedded images.

Doctored images are made here from docs/format.md with nothing but the standard library and the zstd
program: checksums, digest and hash tree are right, so only what is said to be wrong is.
"""
import hashlib
import json
import os
import random
import struct
import subprocess
import tempfile
import unittest
import zlib

import modellib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
CLEAN, DAMAGED, FAILED, USAGE = 0, 4, 8, 16
CHUNK, LEAF, SUPERBLOCK = 131072, 131072, 4096


def run(program, *arguments, **options):
    return subprocess.run([os.path.join(BUILD, program), *arguments], stdin=subprocess.DEVNULL,
                          stdout=options.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE,
                          timeout=120, **options)


def fsck(*arguments):
    return run("fsck.entrofs", *arguments)


def dump(*arguments):
    return run("dump.entrofs", *arguments)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def seal(image):
    """The digest and checksum of a superblock."""
    image[152:184] = bytes(32)
    image[4092:4096] = bytes(4)
    image[152:184] = hashlib.sha256(image[:SUPERBLOCK]).digest()
    image[4092:4096] = struct.pack("<I", zlib.crc32(image[:4092]))


def hash_tree(data):
    """(stored levels, root)"""
    stored = b""
    while True:
        level = b"".join(hashlib.sha256(data[at:at + LEAF]).digest() for at in range(0, len(data), LEAF))
        if len(level) == 32:
            return stored, level
        stored += level
        data = level


def read_catalog(image):
    """The raw bytes of the catalog."""
    offset, stored, raw = struct.unpack_from("<3Q", image, 40)
    count = -(-raw // CHUNK)
    table = offset + stored - 8 * count
    out = b""
    for i in range(count):
        size, checksum = struct.unpack_from("<2I", image, table + 8 * i)
        chunk = image[offset:offset + size]
        if size != min(CHUNK, raw - CHUNK * i):
            chunk = subprocess.run(["zstd", "-dcq"], input=chunk, stdout=subprocess.PIPE, check=True).stdout
        assert zlib.crc32(chunk) == checksum
        out += chunk
        offset += size
    return out


def replace_catalog(image, catalog):
    """The same image with another catalog, stored uncompressed, and everything sealed."""
    offset, = struct.unpack_from("<Q", image, 40)
    chunks = [catalog[at:at + CHUNK] for at in range(0, len(catalog), CHUNK)]
    stored = b"".join(chunks) + b"".join(struct.pack("<2I", len(c), zlib.crc32(c)) for c in chunks)
    body = bytearray(image[:offset]) + stored
    body += bytes(-len(body) % 8)
    tree, root = hash_tree(bytes(body[SUPERBLOCK:]))
    struct.pack_into("<Q", body, 32, len(body) + len(tree))
    struct.pack_into("<3Q", body, 40, offset, len(stored), len(catalog))
    struct.pack_into("<2Q", body, 64, len(body), len(tree))
    body[88:120] = root
    seal(body)
    return bytes(body) + tree


def tensor_at(catalog, number):
    nodes, pieces = struct.unpack_from("<2I", catalog)
    return 40 + 32 * nodes + 24 * pieces + 104 * number


class Images(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="entrofs-fsck-")
        cls.model = cls.path("model")
        cls.tensors = modellib.varied_tensors()
        cls.tensors["model.embed.weight"] = modellib.Tensor.of(
            "F32", cls.tensors["model.embed.weight"].values().reshape(1536, 2048)[:300])
        cls.tensors["red\x1b[31m\u009b31m"] = modellib.Tensor.of("F32", [[1.0, 2.0]])
        modellib.write_model(cls.model, cls.tensors)
        cls.image = cls.path("model.efs")
        done = run("mkentrofs", cls.model, cls.image)
        assert done.returncode == 0, done.stderr
        cls.bytes = read(cls.image)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def path(cls, *names):
        return os.path.join(cls.scratch.name, *names)

    def doctored(self, data, name="doctored.efs"):
        write(self.path(name), data)
        return self.path(name)

    def assert_result(self, done, code, *texts):
        said = (done.stdout or b"").decode() + done.stderr.decode()
        self.assertEqual(done.returncode, code, said)
        for text in texts:
            self.assertIn(text, said)


class Fsck(Images):
    def test_clean(self):
        """A good image is clean, and --quiet says nothing about it."""
        for arguments in ([], ["--deep"], ["--deep", "--jobs=1"], ["--deep", "--jobs=5"]):
            self.assert_result(fsck(*arguments, self.image), CLEAN, "clean", f"{len(self.tensors)} tensors")
        done = fsck("--quiet", "--deep", self.image)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))

    def test_extract(self):
        """The extracted tree holds what an independent quantizer makes of the model."""
        target = self.path("tree")
        self.assert_result(fsck(f"--extract={target}", self.image), CLEAN)
        for name in ("config.json", "tokenizer.json"):
            self.assertEqual(read(os.path.join(target, name)), read(os.path.join(self.model, name)))
        with open(os.path.join(target, "quantized", "manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)["tensors"]
        self.assertEqual(sorted(t["name"] for t in manifest), sorted(self.tensors))
        for tensor in manifest:
            data = read(os.path.join(target, "quantized", tensor["file"]))
            self.assertEqual(data, modellib.expected_bytes(self.tensors[tensor["name"]], 8), tensor["name"])
            self.assertEqual(hashlib.sha256(data).hexdigest(), tensor["sha256"])
        model = modellib.read_safetensors(os.path.join(target, "quantized", "model.safetensors"))
        self.assertEqual(model["noise"].raw, self.tensors["noise"].raw)

    def test_extract_overwrites_nothing(self):
        """Only an absent or empty folder is extracted to."""
        target = self.path("full")
        os.mkdir(target)
        write(os.path.join(target, "config.json"), b"mine")
        self.assert_result(fsck("-x", target, self.image), FAILED, "not empty")
        self.assertEqual(os.listdir(target), ["config.json"])
        self.assertEqual(read(os.path.join(target, "config.json")), b"mine")
        write(self.path("file"), b"mine")
        self.assert_result(fsck("-x", self.path("file"), self.image), FAILED, "cannot open")
        self.assert_result(fsck("-x", self.path("no", "where"), self.image), FAILED, "cannot create")
        os.mkdir(self.path("empty"))
        self.assert_result(fsck("-x", self.path("empty"), self.image), CLEAN)
        os.mkdir(self.path("behind"))
        os.symlink(self.path("behind"), self.path("link"))
        self.assert_result(fsck("-x", self.path("link"), self.image), CLEAN)
        self.assertIn("config.json", os.listdir(self.path("behind")))

    def test_flipped_bits(self):
        """--deep finds a flipped bit anywhere; nothing wrong is ever extracted."""
        chance = random.Random(7)
        expected = self.path("expected")
        self.assert_result(fsck("-x", expected, self.image), CLEAN)
        for number in range(25):
            at = chance.randrange(len(self.bytes))
            data = bytearray(self.bytes)
            data[at] ^= 1 << chance.randrange(8)
            path = self.doctored(data)
            done = fsck("--deep", "-x", self.path("never"), path)
            self.assertIn(done.returncode, (DAMAGED, FAILED), f"byte {at}")
            self.assertFalse(os.path.exists(self.path("never")))
            target = self.path(f"flip{number}")
            fsck("-x", target, path)
            for folder, _, files in os.walk(target):
                for name in files:
                    file = os.path.join(folder, name)
                    self.assertEqual(read(file), read(os.path.join(expected, os.path.relpath(file, target))))

    def test_extract_saves_the_rest(self):
        """Damaged files are named and left out, all others are extracted."""
        catalog = read_catalog(self.bytes)
        tensors, = struct.unpack_from("<I", catalog, 8)
        offset, stored = struct.unpack_from("<2Q", catalog, tensor_at(catalog, tensors))
        data = bytearray(self.bytes)
        data[offset + stored // 2] ^= 0x10
        files = {}
        for target, image in (("whole", self.bytes), ("rest", data)):
            done = fsck("--jobs=1", "-x", self.path(target), self.doctored(image))
            files[target] = {os.path.relpath(os.path.join(folder, name), self.path(target))
                             for folder, _, names in os.walk(self.path(target)) for name in names}
        lost = {"model.safetensors", "quantized/model.safetensors", "quantized/tensors/model.embed.weight.u8"}
        self.assert_result(done, DAMAGED, *lost)
        self.assertEqual(files["whole"] - files["rest"], lost)

    def test_all_damage_is_reported(self):
        """Several damaged tensors are all named, in the same order for any number of threads."""
        catalog = read_catalog(self.bytes)
        nodes, pieces, tensors, streams = struct.unpack_from("<4I", catalog)
        data = bytearray(self.bytes)
        for number in (0, 2, 4):
            offset, stored = struct.unpack_from("<2Q", catalog, tensor_at(catalog, tensors) + 56 * number)
            data[offset + stored // 2] ^= 0x10
        path = self.doctored(data)
        outputs = [fsck("--deep", f"--jobs={jobs}", path) for jobs in (1, 4)]
        self.assertEqual(outputs[0].stderr, outputs[1].stderr)
        self.assert_result(outputs[0], DAMAGED, "stream 0: block", "stream 2: block", "stream 4: block")

    def test_padding(self):
        """A byte that is not zero between two extents is found though every hash is right."""
        catalog = read_catalog(self.bytes)
        _, _, tensors, streams = struct.unpack_from("<4I", catalog)
        first = tensor_at(catalog, tensors)
        records = [struct.unpack_from("<2Q", catalog, first + 56 * i) for i in range(streams)]
        end = next(o + s for (o, s), (after, _) in zip(records, records[1:]) if after - o - s > 8)
        data = bytearray(self.bytes)
        data[end + 3] = 1
        path = self.doctored(replace_catalog(bytes(data), catalog))
        self.assert_result(fsck(path), CLEAN)
        self.assert_result(fsck("--deep", path), DAMAGED, f"padding at byte {end + 3} is not zero")

    def test_tensor_digest(self):
        """A tensor whose bytes are not those of its recorded SHA-256 is named."""
        catalog = bytearray(read_catalog(self.bytes))
        catalog[tensor_at(catalog, 1) + 72] ^= 1
        path = self.doctored(replace_catalog(self.bytes, bytes(catalog)))
        self.assert_result(fsck(path), CLEAN)
        self.assert_result(fsck("--deep", path), DAMAGED, "SHA-256")

    def test_hash_tree(self):
        """A wrong hash in the tree is found where it is."""
        offset, size = struct.unpack_from("<2Q", self.bytes, 64)
        data = bytearray(self.bytes)
        data[offset + 32] ^= 1
        self.assert_result(fsck("--deep", self.doctored(data)), DAMAGED, f"byte {SUPERBLOCK + LEAF} ",
                           f"byte {offset + 32}")
        data = bytearray(self.bytes)
        data[88] ^= 1
        seal(data)
        self.assert_result(fsck("--deep", self.doctored(data)), DAMAGED, "root of the hash tree")

    def test_hostile_names(self):
        """Names that would lead out of the target folder are refused."""
        catalog = read_catalog(self.bytes)
        strings = len(catalog) - struct.unpack_from("<I", catalog, 32)[0]
        root_first, root_count = struct.unpack_from("<2I", catalog, 40 + 12)
        for name in (b"..", b".", b"../../../../tmp/x", b"a/b", b"a\0b", b"", b"x" * 256):
            data = bytearray(catalog) + name
            struct.pack_into("<I", data, 32, len(data) - strings)
            struct.pack_into("<2I", data, 40 + 32 * root_first, len(catalog) - strings, len(name))
            path = self.doctored(replace_catalog(self.bytes, bytes(data)))
            self.assert_result(fsck("-x", self.path("hostile"), path), DAMAGED, "name is invalid")
            self.assertFalse(os.path.exists(self.path("hostile")))

    def test_not_an_image(self):
        """What is no image, or one of the future, is told apart from damage."""
        self.assert_result(fsck(self.doctored(b"")), DAMAGED, "not an entrofs image")
        self.assert_result(fsck(self.doctored(b"x" * 10000)), DAMAGED, "not an entrofs image")
        self.assert_result(fsck(self.doctored(self.bytes[:-1])), DAMAGED, "truncated")
        self.assert_result(fsck(self.path("absent")), FAILED, "cannot open", "No such file")
        self.assert_result(fsck(self.scratch.name), FAILED, "cannot verify")
        os.mkfifo(self.path("pipe"))
        self.assert_result(fsck(self.path("pipe")), FAILED, "neither a regular file")
        self.assert_result(dump(self.path("pipe")), 1, "neither a regular file")
        data = bytearray(self.bytes)
        data[8] = 2
        seal(data)
        self.assert_result(fsck(self.doctored(data)), FAILED, "version 2")
        data = bytearray(self.bytes)
        data[25] = 1
        seal(data)
        self.assert_result(fsck(self.doctored(data)), FAILED, "0x100")

    def test_offset(self):
        """An image may lie anywhere in a larger file."""
        path = self.doctored(b"\xff" * 12345 + self.bytes + b"\xff" * 99)
        self.assert_result(fsck("--deep", "--offset=12345", path), CLEAN)
        self.assert_result(fsck("--offset=12344", path), DAMAGED, "not an entrofs image")
        self.assert_result(fsck("--offset=99999999999", path), FAILED, "beyond the end")
        self.assertEqual(json.loads(dump("--json", "-o", "12345", path).stdout),
                         json.loads(dump("--json", self.image).stdout))

    def test_usage(self):
        """Wrong usage is told from wrong images; help and version go to standard output."""
        for arguments in ([], [self.image, self.image], ["--bogus", self.image], ["--offset=x", self.image],
                          ["--offset=-1", self.image], ["--offset=1K", self.image], ["--jobs=0", self.image],
                          ["--offset=18446744073709551616", self.image]):
            self.assert_result(fsck(*arguments), USAGE, "--help")
        done = fsck("--help")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"--extract", done.stdout)
        self.assertRegex(fsck("--version").stdout, rb"^fsck\.entrofs \d+\.\d+\.\d+\ndecoder: \w+\n$")


if __name__ == "__main__":
    unittest.main()
