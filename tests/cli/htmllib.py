# SPDX-License-Identifier: MIT
"""For tests of the page of dump.entrofs: a model, its image and page; images that no writer makes."""
import json
import os
import re
import struct
import subprocess
import tempfile
import unittest
import zlib

import numpy as np

import modellib
import test_fsck
from modellib import Tensor
from test_fsck import dump, read, run

HOSTILE = ["</script><script>window.pwned = 1</script>", "<img src=x onerror='window.pwned = 2'>", "<!--<script>",
           "\u202egnp.\x1b[31m\x07\n\t\"'&amp;", "]]>\\u003c", "__proto__", "constructor"]
GROUPS = "uint8", "uint4", "kept"


def page(image, target, *arguments):
    return dump("--html", target, *arguments, image)


def data_of(path):
    """The data in a page."""
    text = read(path).decode()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def rows(table):
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def pack(model, image, *options):
    done = run("mkentrofs", *options, model, image)
    assert done.returncode == 0, done.stderr


def hostile_tensors():
    random = np.random.default_rng(3)
    tensors = {name: Tensor.of("F32", random.standard_normal((9, 9 + i))) for i, name in enumerate(HOSTILE)}
    return {**tensors, "odd4": Tensor.of("F32", random.standard_normal((7, 9))),
            "one4": Tensor.of("F32", random.standard_normal((1, 1)))}


class Pages(unittest.TestCase):
    """A model of all kinds of tensors, its image and its page."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="entrofs-html-")
        cls.model, cls.image, cls.page = cls.path("model"), cls.path("mixed.efs"), cls.path("mixed.html")
        cls.tensors = modellib.varied_tensors()
        cls.tensors["model.embed.weight"] = Tensor.of(
            "F32", cls.tensors["model.embed.weight"].values().reshape(1536, 2048)[:200])
        cls.tensors.update(hostile_tensors())
        modellib.write_model(cls.model, cls.tensors)
        pack(cls.model, cls.image, "--bits-for=4$=4", "--bits-for=layer.1=4", "--bits-for=^zero=4")
        done = page(cls.image, cls.page)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), done.stderr

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def path(cls, *names):
        return os.path.join(cls.scratch.name, *names)

    def assert_result(self, done, code, *texts):
        said = (done.stdout or b"").decode() + done.stderr.decode()
        self.assertEqual(done.returncode, code, said)
        for text in texts:
            self.assertIn(text, said)


def section(raw, fill=64):
    """A section's stored bytes: chunks by the zstd program, filled up to 1/64 of what they hold."""
    stored, records = b"", b""
    for at in range(0, len(raw), 131072):
        chunk = raw[at:at + 131072]
        # It makes the window as large as what it is told it will get.
        frame = subprocess.run(["zstd", "-1cq", "--no-check", f"--stream-size={len(chunk)}"], input=chunk,
                               stdout=subprocess.PIPE, check=True).stdout
        least = -(-len(chunk) // fill)
        if len(frame) < least:
            rest = max(8, least - len(frame))
            frame += struct.pack("<2I", 0x184D2A50, rest - 8) + bytes(rest - 8)
        if len(frame) >= len(chunk):
            frame = chunk
        stored += frame
        records += struct.pack("<2I", len(frame), zlib.crc32(chunk))
    return stored + records


def build_image(parts, catalog):
    """An image of (offset, bytes) parts and a catalog, sealed."""
    body = bytearray(4096)
    for offset, data in parts:
        body += bytes(offset - len(body)) + data
    body += bytes(-len(body) % 8)
    stored, offset = section(catalog), len(body)
    body += stored
    body += bytes(-len(body) % 8)
    tree, root = test_fsck.hash_tree(bytes(body[4096:]))
    struct.pack_into("<8s2I", body, 0, b"\x89EFS\r\n\x1a\n", 1, 4096)
    struct.pack_into("<4Q", body, 32, len(body) + len(tree), offset, len(stored), len(catalog))
    struct.pack_into("<2Q2B", body, 64, len(body), len(tree), 1, 17)
    body[88:120] = root
    body[120:129] = b"test 1.0\0"
    test_fsck.seal(body)
    return bytes(body) + tree


def one_stream_image(size, block, index):
    """An image of one kept U8 tensor, stored in no byte but those of its index."""
    stored = section(index)
    names = b"wm.safetensorsw.u8"
    catalog = struct.pack("<10I", 2, 1, 1, 1, 0, 1, 1, 0, len(names), 0)
    catalog += struct.pack("<5IB3xQ", 0, 0, 0, 1, 1, 1, 0) + struct.pack("<5IB3xQ", 14, 4, 0, 0, 1, 2, size)
    catalog += struct.pack("<2I2Q", 1, 0, 0, size)
    catalog += struct.pack("<4I4B2H6I3d32x", 0, 1, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0.0, float("inf"), 0.0)
    catalog += struct.pack("<6Q2BHI", 4096, 0, size, 4096, len(stored), len(index), block, 0, 0, 0)
    catalog += struct.pack("<2I", 1, 13) + struct.pack("<Q", size) + names
    return build_image([(4096, stored)], catalog)


def sidecar_image():
    """An image of one file, and no tensor."""
    stored, names = section(b"{}\n"), b"config.json"
    catalog = struct.pack("<10I", 2, 1, 0, 0, 1, 0, 0, 0, len(names), 0)
    catalog += struct.pack("<5IB3xQ", 0, 0, 0, 1, 1, 1, 0) + struct.pack("<5IB3xQ", 0, 11, 0, 0, 1, 2, 3)
    catalog += struct.pack("<2I2Q", 2, 0, 0, 3) + struct.pack("<3Q", 4096, len(stored), 3) + names
    return build_image([(4096, stored)], catalog)
