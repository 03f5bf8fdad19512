# SPDX-License-Identifier: MIT
"""Malformed models through mkentrofs itself: each is refused with one line that names the file and what is wrong
with it, or it is packed and comes back right. The numbers are printed for docs/reliability.md."""
import glob
import json
import os
import random
import shutil
import struct
import subprocess
import unittest

import modellib
from mklib import PROGRAM, Case, read

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
DATA = bytes(range(16))
MEMORY = 1 << 30  # bytes of address space that no input may exceed


def entry(dtype="F32", shape=(2, 2), offsets=(0, 16), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def weights(header, data=DATA, size=None):
    """A file; header: JSON text or what to make it of; size: what is said of the header's."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


ENTRY = json.dumps(entry()).encode()
GOOD = b'{"a":' + ENTRY + b"}"
PACKED = None

# name: (file, or a function that makes it, what the refusal says)
FILES = {
    "empty": (b"", "too short"),
    "seven bytes": (b"1234567", "too short"),
    "a header of no bytes": (weights(b""), "a header of 0 bytes"),
    "a header that is one byte longer than the file": (weights(GOOD, b"", len(GOOD) + 1), "truncated: a header of"),
    "a header far beyond the file": (weights(GOOD, size=10 ** 6), "a header of 1000000 bytes"),
    "a header of 2^63 bytes": (weights(GOOD, size=1 << 63), f"a header of {1 << 63} bytes"),
    "a header of 2^64 - 1 bytes": (weights(GOOD, size=(1 << 64) - 1), f"a header of {(1 << 64) - 1} bytes"),
    "a header beyond the limit": (weights(GOOD, size=100_000_001), "a header of 100000001 bytes"),
    "a header cut by a byte": (weights(GOOD, size=len(GOOD) - 1), "bad JSON: .*line 1, column"),
    "a header with a byte of data": (weights(GOOD, size=len(GOOD) + 1), "bad JSON"),
    "a header cut in a string": (weights(GOOD[:3]), "bad JSON"),
    "no JSON": (weights(b"hello"), "bad JSON"),
    "a string": (weights(b'"a"'), "bad JSON"),
    "a number": (weights(b"7"), "bad JSON"),
    "null": (weights(b"null"), "bad JSON"),
    "an array": (weights(b"[]"), "not a JSON object"),
    "two objects": (weights(GOOD + GOOD), "bad JSON"),
    "garbage behind the object": (weights(GOOD + b" x"), "bad JSON"),
    "NUL bytes behind the object": (weights(GOOD + b"\0\0"), "bad JSON"),
    "a byte order mark": (weights(b"\xef\xbb\xbf" + GOOD), "bad JSON"),
    "UTF-16": (weights(GOOD.decode().encode("utf-16")), "bad JSON"),
    "a comment": (weights(b"{/**/}"), "bad JSON"),
    "a trailing comma": (weights(GOOD[:-1] + b",}"), "bad JSON"),
    "NaN": (weights(b'{"a":NaN}'), "bad JSON"),
    "a number beyond double": (weights(GOOD.replace(b"16]", b"1e400]")), "bad JSON"),
    "100,000 arrays in each other": (weights(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "bad JSON: .*depth"),
    "100,000 objects in each other": (weights(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "bad JSON: .*depth"),
    "no tensors": (weights({}, b""), "it has no tensors"),
    "no tensors, but data": (weights({}), "belongs to none, 16 bytes"),
    "metadata only": (weights({"__metadata__": {"a": "b"}}, b""), "it has no tensors"),
    "metadata that is a number": (weights({"__metadata__": {"k": 1}, "a": entry()}), "'k' is not a string"),
    "metadata in metadata": (weights({"__metadata__": {"k": {}}, "a": entry()}), "'k' is not a string"),
    "metadata that is an array": (weights({"__metadata__": [], "a": entry()}), "__metadata__ is not an object"),
    "metadata that is null": (weights({"__metadata__": None, "a": entry()}), "__metadata__ is not an object"),
    "a tensor twice": (weights(b'{"a":%s,"a":%s}' % (ENTRY, ENTRY)), 'duplicate object key near \'"a"\''),
    "a key twice": (weights(GOOD.replace(b'{"dtype"', b'{"dtype":"F32","dtype"')), "duplicate object key"),
    "a tensor that is an array": (weights({"a": []}), "tensor 'a' is not an object"),
    "a tensor that is null": (weights({"a": None}), "tensor 'a' is not an object"),
    "no dtype": (weights({"a": {"shape": [2, 2], "data_offsets": [0, 16]}}), "tensor 'a': no dtype"),
    "a dtype that is a number": (weights({"a": {**entry(), "dtype": 1}}), "tensor 'a': no dtype"),
    "a dtype in small letters": (weights({"a": entry("f32")}), "tensor 'a': unknown dtype 'f32'"),
    "a dtype that is unknown": (weights({"a": entry("F12")}), "unknown dtype 'F12'"),
    "a dtype of 5000 letters": (weights({"a": entry("F" * 5000)}), "unknown dtype 'FFFF"),
    "a dtype of four bits": (weights({"a": entry("F4")}), "dtype F4 has less than a byte"),
    "another dtype than the data has": (weights({"a": entry("F16")}), "'a' has 16 bytes, but .* make 8"),
    "no shape": (weights({"a": {"dtype": "F32", "data_offsets": [0, 16]}}), "tensor 'a': no shape"),
    "a shape that is an object": (weights({"a": {**entry(), "shape": {}}}), "tensor 'a': no shape"),
    "shapes in a shape": (weights({"a": {**entry(), "shape": [[2], 2]}}), "dimension 0 is no number"),
    "a negative dimension": (weights({"a": entry(shape=(2, -2))}), "dimension 1 is no number"),
    "two negative dimensions": (weights({"a": entry(shape=(-2, -2))}), "dimension 0 is no number"),
    "a fraction of a dimension": (weights({"a": entry(shape=(2, 2.0))}), "dimension 1 is no number"),
    "a true dimension": (weights({"a": entry(shape=(True, 4))}), "dimension 0 is no number"),
    "a text as a dimension": (weights({"a": entry(shape=("2", 2))}), "dimension 0 is no number"),
    "a dimension beyond 2^64": (weights({"a": entry(shape=(1 << 64, 2))}), "bad JSON: too big integer"),
    "a shape that overflows": (weights({"a": entry(shape=(1 << 62, 1 << 62))}), "the shape is too large"),
    "a shape that overflows to what fits": (weights({"a": entry(shape=(1 << 32, 1 << 32, 4))}), "too large"),
    "bytes that overflow": (weights({"a": entry(shape=(1 << 62,))}), "the shape is too large"),
    "bytes that overflow to what fits": (weights({"a": entry(shape=((1 << 62) + 4,))}), "the shape is too large"),
    "33 dimensions": (weights({"a": entry(shape=[1] * 32 + [4])}), "33 dimensions, more than 32"),
    "100,000 dimensions": (weights({"a": entry(shape=[1] * 100_000)}), "100000 dimensions, more than 32"),
    "a shape that is too large": (weights({"a": entry(shape=(2, 3))}), "16 bytes, but .* make 24"),
    "a shape that is too small": (weights({"a": entry(shape=(2,))}), "16 bytes, but .* make 8"),
    "no offsets": (weights({"a": {"dtype": "F32", "shape": [2, 2]}}), "'a': data_offsets are not two"),
    "one offset": (weights({"a": entry(offsets=(0,))}), "data_offsets are not two"),
    "three offsets": (weights({"a": entry(offsets=(0, 16, 16))}), "data_offsets are not two"),
    "offsets as text": (weights({"a": entry(offsets=("0", "16"))}), "data_offsets are not two"),
    "offsets with a point": (weights({"a": entry(offsets=(0.0, 16.0))}), "data_offsets are not two"),
    "reversed offsets": (weights({"a": entry(offsets=(16, 0))}), "data_offsets are not two ascending"),
    "negative offsets": (weights({"a": entry(offsets=(-16, 0))}), "data_offsets are not two ascending"),
    "offsets beyond 2^64": (weights({"a": entry(offsets=(0, 1 << 64))}), "bad JSON: too big integer"),
    "offsets up to 2^63": (weights({"a": entry(offsets=((1 << 63) - 17, (1 << 63) - 1))}), "'a' lies beyond the end"),
    "data beyond the file": (weights({"a": entry(shape=(4, 2), offsets=(0, 32))}), "'a' lies beyond the end"),
    "a byte of data missing": (weights({"a": entry()}, DATA[:-1]), "'a' lies beyond the end"),
    "no data": (weights({"a": entry()}, b""), "'a' lies beyond the end"),
    "a byte behind the data": (weights({"a": entry()}, DATA + b"x"), "belongs to none, 1 bytes"),
    "an overlap": (weights({"a": entry(), "b": entry(offsets=(12, 28))}, bytes(28)), "tensor 'b' overlaps 'a'"),
    "one in another": (weights({"a": entry(), "b": entry(shape=(1,), offsets=(4, 8))}), "tensor 'b' overlaps 'a'"),
    "the same data twice": (weights({"a": entry(), "b": entry()}), "tensor 'b' overlaps 'a'"),
    "an empty one in another": (weights({"a": entry(), "b": entry(shape=(0,), offsets=(8, 8))}), "overlaps 'a'"),
    "a hole": (weights({"a": entry(), "b": entry(offsets=(20, 36))}, bytes(36)), "hole of 4 bytes .* 'b'"),
    "a hole at the start": (weights({"a": entry(offsets=(4, 20))}, bytes(20)), "hole of 4 bytes .* 'a'"),
    "NUL in a name": (weights({"a\0b": entry()}), "bad JSON: NUL byte"),
    "a name that is no UTF-8": (weights(b'{"a\xff":' + ENTRY + b"}"), "bad JSON: unable to decode byte 0xff"),
    "NUL in two bytes": (weights(b'{"a\xc0\x80":' + ENTRY + b"}"), "bad JSON: unable to decode byte 0xc0"),
    "half of a surrogate pair": (weights(b'{"a\\ud800":' + ENTRY + b"}"), "bad JSON: invalid Unicode"),
    "a surrogate in UTF-8": (weights(b'{"a\xed\xa0\x80":' + ENTRY + b"}"), "bad JSON: unable to decode"),
    "a control character in a name": (weights(b'{"a\n":' + ENTRY + b"}"), "bad JSON"),
    "NaN among weights": (weights({"a": entry()}, struct.pack("<4f", 1, 2, float("nan"), 4)), "'a' has a NaN .* 2 "),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n", "a Git LFS pointer"),
    "a page": (b"<!DOCTYPE html><title>401</title>", "a page for a browser"),
    "a zip archive": (b"PK\3\4" + bytes(100), "a zip archive"),
    "a GGUF file": (b"GGUF\3\0\0\0" + bytes(100), "a GGUF file"),
    "an image": (b"\x89EFS\r\n\x1a\n" + bytes(4096), "an entrofs image already"),
    "a header of 100 MB": (lambda: weights(GOOD.ljust(100_000_000)), PACKED),
    "a header of 100 MB of numbers": (lambda: weights(b'{"a":[' + b"0," * 49_999_990 + b"0]}"), "more than 256 MiB to parse"),
    "a header of 100 MB of arrays": (lambda: weights(b'{"a":[' + b"[]," * 33_000_000 + b"0]}"), "more than 256 MiB to parse"),
    "a name of 4 KiB": (weights({"n" * 4096: entry()}), PACKED),
    "a name of 1 MB": (weights({"n" * 1_000_000: entry()}), PACKED),
    "no name": (weights({"": entry()}), PACKED),
    "a name with a slash": (weights({"a/b": entry()}), PACKED),
    "an absolute name": (weights({"/etc/passwd": entry()}), PACKED),
    "..": (weights({"..": entry()}), PACKED),
    "../../a": (weights({"../../a": entry()}), PACKED),
    ".": (weights({".": entry()}), PACKED),
    "an escape sequence in a name": (weights({"\x1b[31mred\x7f": entry()}), PACKED),
    "names apart by a case": (weights({"a": entry(), "A": entry(offsets=(16, 32))}, DATA * 2), PACKED),
    "names in two forms of Unicode": (weights({"\u00e9": entry(), "e\u0301": entry(offsets=(16, 32))}, DATA * 2), PACKED),
    "names that are cut alike": (weights({"n" * 300: entry(), "n" * 301: entry(offsets=(16, 32))}, DATA * 2), PACKED),
    "spaces around the object": (weights(b"  " + GOOD + b"  \n"), PACKED),
    "keys that nobody knows": (weights({"a": entry(more={"b": [1]})}), PACKED),
    "tensors out of order": (weights({"b": entry(offsets=(16, 32)), "a": entry()}, DATA * 2), PACKED),
    "32 dimensions": (weights({"a": entry(shape=[1] * 31 + [4])}), PACKED),
    "a scalar": (weights({"a": entry(shape=(), offsets=(0, 4))}, DATA[:4]), PACKED),
    "an empty tensor": (weights({"a": entry(shape=(0, 4), offsets=(0, 0))}, b""), PACKED),
    "empty whatever the other dimensions": (weights({"a": entry(shape=(1 << 62, 1 << 62, 0), offsets=(0, 0))}, b""), PACKED),
    "empty ones between others": (weights({"z": entry(shape=(0,), offsets=(8, 8)), "a": entry(shape=(2, 1), offsets=(0, 8)),
                                           "b": entry(shape=(2, 1), offsets=(8, 16))}), PACKED),
    "booleans of any value": (weights({"a": entry("BOOL", (16,))}), PACKED),
}


def index(weight_map):
    return json.dumps({"weight_map": weight_map}).encode()


ONE, TWO = weights({"a": entry()}), weights({"a": entry(), "b": entry(offsets=(16, 32))}, DATA * 2)

# name: (files of the folder, what the refusal says). A file: its bytes; a tuple: (function, argument) to make it.
FOLDERS = {
    "an index that names what is missing": ({INDEX: index({"a": "x"})}, "open '.*/model/x': No such file"),
    "an index that names an absolute path": ({INDEX: index({"a": "/etc/passwd"})}, "'/etc/passwd' is no name"),
    "an index that leads out": ({INDEX: index({"a": "../x"}), "../x": ONE}, "'../x' is no name of a file"),
    "an index that leads into a folder": ({INDEX: index({"a": "s/x"}), "s/x": ONE}, "'s/x' is no name of a file"),
    "an index that names ..": ({INDEX: index({"a": ".."})}, "'..' is no name of a file"),
    "an index that names .": ({INDEX: index({"a": "."})}, "'.' is no name of a file"),
    "an index that names nothing": ({INDEX: index({"a": ""})}, "'' is no name of a file"),
    "an index that names a number": ({INDEX: index({"a": 1})}, "tensor 'a': its file is no string"),
    "an index that names null": ({INDEX: index({"a": None})}, "tensor 'a': its file is no string"),
    "an index that names 5000 letters": ({INDEX: index({"a": "x" * 5000})}, "File name too long"),
    "an index that names itself": ({INDEX: index({"a": INDEX})}, f"'.*{INDEX}': not a safetensors file"),
    "an index that names a sidecar": ({INDEX: index({"a": "config.json"}), "config.json": b"{\"a\": 1, \"b\": 2}"},
                                      "config.json': not a safetensors file"),
    "an index that names a folder": ({INDEX: index({"a": "s"}), "s/x": ONE}, "/s': not a regular file"),
    "an index that names a pipe": ({INDEX: index({"a": "x"}), "x": (os.mkfifo,)}, "/x': not a regular file"),
    "an index that names a device": ({INDEX: index({"a": "x"}), "x": (os.symlink, "/dev/zero")}, "not a regular file"),
    "an index without a map": ({INDEX: b"{}"}, "no weight_map"),
    "an index with an array as map": ({INDEX: index([])}, "no weight_map"),
    "an index with an empty map": ({INDEX: index({})}, "it names no tensor"),
    "an index that is an array": ({INDEX: b"[]"}, "no weight_map"),
    "an empty index": ({INDEX: b""}, f"{INDEX}: bad JSON"),
    "an index that is cut": ({INDEX: index({"a": "x"})[:-3]}, f"{INDEX}: bad JSON"),
    "an index with a name twice": ({INDEX: b'{"weight_map":{"a":"x","a":"y"}}'}, "bad JSON: duplicate object key"),
    "an index that is a pipe": ({INDEX: (os.mkfifo,), WEIGHTS: ONE}, f"{INDEX}: not a regular file"),
    "an index that is a folder": ({INDEX + "/x": ONE, WEIGHTS: ONE}, f"{INDEX}: not a regular file"),
    "an index with a tensor too many": ({INDEX: index({"a": "x", "c": "x"}), "x": ONE}, "'c' of the index is missing from 'x'"),
    "an index with the wrong file": ({INDEX: index({"a": "x", "b": "y"}), "x": TWO, "y": TWO}, "is in both 'x' and 'y'"),
    "an index that is mistaken": ({INDEX: index({"a": "y", "b": "x"}), "x": ONE, "y": weights({"b": entry()})},
                                  "'a' is in 'x' and not where the index says"),
    "a tensor in two shards": ({INDEX: index({"a": "x", "b": "y"}), "x": ONE, "y": ONE}, "'a' is in both 'x' and 'y'"),
    "an index with a tensor too few": ({INDEX: index({"a": "x"}), "x": TWO}, PACKED),
    "one of two shards is cut": ({INDEX: index({"a": "x", "b": "y"}), "x": ONE, "y": weights({"b": entry()})[:-1]},
                                 "/y': tensor 'b' lies beyond the end"),
    "weights that are a pipe": ({WEIGHTS: (os.mkfifo,)}, f"{WEIGHTS}: not a regular file"),
    "weights that are a device": ({WEIGHTS: (os.symlink, "/dev/zero")}, f"{WEIGHTS}: not a regular file"),
    "weights that are a folder": ({WEIGHTS + "/x": ONE}, f"{WEIGHTS}: not a regular file"),
    "weights that are a link to themselves": ({WEIGHTS: (os.symlink, WEIGHTS)}, f"{WEIGHTS}: Too many levels"),
    "links that lead to each other": ({WEIGHTS: ONE, "x": (os.symlink, "y"), "y": (os.symlink, "x")}, "y: Too many levels|x: Too"),
    "a link to nothing": ({WEIGHTS: ONE, "config.json": (os.symlink, "nowhere")}, "config.json: No such file"),
    "a folder that is a link to itself": ({WEIGHTS: ONE, "s": (os.symlink, ".")}, PACKED),
    "a link to the weights": ({"x": ONE, WEIGHTS: (os.symlink, "x")}, PACKED),
    "a sidecar named quantized": ({WEIGHTS: ONE, "quantized": b"x"}, "'quantized' takes the name of a folder"),
    "two files of weights": ({"a.safetensors": ONE, "b.safetensors": ONE}, "several .safetensors files"),
    "nothing": ({}, "no .safetensors or .gguf file"),
}


def limited():
    """What sets the limit of memory, unless this is a build with sanitizers, which need it all."""
    with open(PROGRAM, "rb") as file:
        return [] if b"__sanitizer" in file.read() else ["prlimit", f"--as={MEMORY}"]


class Malformed(Case):
    @classmethod
    def setUpClass(cls):
        cls.limit = limited()

    def make(self, files):
        shutil.rmtree(self.model)
        os.makedirs(self.model)
        for name, content in files.items():
            path = os.path.join(self.model, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if isinstance(content, bytes):
                with open(path, "wb") as file:
                    file.write(content)
            elif content[0] is os.symlink:
                os.symlink(content[1], path)
            else:
                content[0](path)

    def content(self):
        """The tensors of the weight files, as read without regard to any rule."""
        path = os.path.join(self.model, INDEX)
        names = [WEIGHTS]
        if os.path.exists(path):
            names = sorted(set(json.loads(read(path))["weight_map"].values()))
        tensors = {}
        for name in names:
            tensors.update(modellib.read_safetensors(os.path.join(self.model, name)))
        return tensors

    def check_packed(self):
        """Every tensor comes back, and nothing is outside of the tree."""
        root = self.extract()
        tensors = self.content()
        manifest = self.manifest(root)
        self.assertEqual(set(manifest), set(tensors))
        files = [entry["file"] for entry in manifest.values()]
        self.assertEqual(len(set(files)), len(files))
        self.assertEqual(sorted(os.listdir(os.path.join(root, "quantized/tensors"))),
                         sorted(os.path.basename(file) for file in files))
        for name, tensor in tensors.items():
            expected = modellib.expected_bytes(tensor, 8)
            self.assertTrue(read(root, "quantized", manifest[name]["file"]) == expected, name)

    def try_one(self, said=None):
        """Whether it was packed. said: what the refusal says; any will do if that is None."""
        for image in glob.glob(self.path("out/*")):
            os.unlink(image)
        done = subprocess.run([*self.limit, PROGRAM, "--jobs=1", self.model, self.image], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        text = done.stderr.decode()  # valid UTF-8, whatever was in the file
        if done.returncode == 0:
            self.check_packed()
            return True
        self.assertEqual((done.returncode, done.stdout), (1, b""), text)
        self.assertRegex(text, rf"^mkentrofs: cannot \w+ '{self.model}[^\n]*': [^\n]+\n$")
        self.assertTrue(all(c == "\n" or c >= " " for c in text), text)
        self.assertEqual(os.listdir(self.path("out")), [])
        if said:
            self.assertRegex(text, said)
        return False

    def tell(self, what, tried, packed):
        print(f"\ninputs: {what}: {tried}: refused by a line {tried - packed}, packed right {packed}")

    def try_table(self, what, table):
        packed = 0
        for name, (files, said) in table.items():
            with self.subTest(name):
                files = files() if callable(files) else files
                self.make(files if isinstance(files, dict) else {WEIGHTS: files})
                was_packed = self.try_one(said)
                self.assertEqual(was_packed, said is PACKED)
                packed += was_packed
        self.tell(what, len(table), packed)

    def test_files(self):
        self.try_table("weight files, by hand", FILES)

    def test_folders(self):
        self.try_table("folders and indexes, by hand", FOLDERS)

    def test_truncated(self):
        """A small file cut at each of its bytes."""
        whole = weights({"a": entry(), "b": entry("BF16", (2, 4), (16, 32))}, DATA * 2)
        for size in range(len(whole)):
            self.make({WEIGHTS: whole[:size]})
            self.assertFalse(self.try_one(), size)
        self.make({WEIGHTS: whole})
        self.assertTrue(self.try_one())
        self.tell("a weight file cut at each byte", len(whole), 0)

    def test_changed_bytes(self):
        """A byte of the header, or of its size, replaced by what matters in JSON, or by any other."""
        whole = weights({"__metadata__": {"k": "v"}, "a": entry(), "b": entry("BF16", (2, 4), (16, 32))}, DATA * 2)
        header, = struct.unpack_from("<Q", whole)
        chance, packed, tried = random.Random(4), 0, 300
        for _ in range(tried):
            data = bytearray(whole)
            data[chance.randrange(8 + header)] = chance.choice([*b'"[]{},:0189-.e\\ \n', chance.randrange(256)])
            with self.subTest(data[:8 + header]):
                self.make({WEIGHTS: bytes(data)})
                packed += self.try_one()
        self.tell("a byte of a header changed (seed 4)", tried, packed)


if __name__ == "__main__":
    unittest.main()
