# SPDX-License-Identifier: MIT
"""GGUF files for tests: made of Tensors and pairs, and read back, blocks as ggml computes with them.

Written from the format's description, independently of mkfs/gguf.c and codec/ggml_blocks.c.
"""
import struct

import numpy as np

U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
TYPES = {"F32": 0, "F16": 1, "I8": 24, "I16": 25, "I32": 26, "I64": 27, "F64": 28, "BF16": 30}
NAMES = {**{number: name for name, number in TYPES.items()}, 2: "Q4_0", 3: "Q4_1", 8: "Q8_0"}
BLOCKS = {"Q4_0": (32, 18), "Q4_1": (32, 20), "Q8_0": (32, 34), "F32": (1, 4), "F16": (1, 2), "BF16": (1, 2),
          "F64": (1, 8), "I8": (1, 1), "I16": (1, 2), "I32": (1, 4), "I64": (1, 8)}
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, U32: 4, I32: 4, F32: 4, BOOL: 1, U64: 8, 11: 8, 12: 8}


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value_bytes(kind, value):
    if kind == STRING:
        return text(value)
    if kind == ARRAY:
        element, values = value
        return struct.pack("<IQ", element, len(values)) + b"".join(value_bytes(element, one) for one in values)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<B", U64: "<Q"}[kind], value)


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value_bytes(kind, value)


def model_pairs(*more):
    """What the file of a small model says, with a tokenizer."""
    tokens = [f"token{i}" for i in range(500)] + ["ü", "\n", ""]
    return [("general.architecture", STRING, "llama"), ("general.name", STRING, "test"), *more,
            ("llama.rope.freq_base", F32, 1e4), ("llama.flag", BOOL, 1), ("llama.big", U64, 1 << 40),
            ("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
            ("tokenizer.ggml.token_type", ARRAY, (I32, [1] * len(tokens))),
            ("nested", ARRAY, (ARRAY, [(U32, [1, 2]), (U32, [])]))]


def build(tensors, pairs=None, alignment=32, order=None, version=3, types=None):
    """The bytes of a file. order: of the names, as their data lies; types: {name: number} that lie."""
    pairs = model_pairs() if pairs is None else pairs
    offsets, data = {}, b""
    for name in order or tensors:
        data += bytes(-len(data) % alignment)
        offsets[name] = len(data)
        data += tensors[name].raw
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    head += b"".join(pair(*one) for one in pairs)
    for name, tensor in tensors.items():
        head += text(name) + struct.pack("<I", len(tensor.shape))
        head += b"".join(struct.pack("<Q", length) for length in reversed(tensor.shape))
        head += struct.pack("<IQ", (types or {}).get(name, TYPES[tensor.dtype]), offsets[name])
    return head + bytes(-len(head) % alignment) + data


class Read:
    """A file, strictly: tensors follow each other, aligned, to the end of the file."""

    def __init__(self, data, contiguous=True):
        self.data, self.at = data, 0
        magic, version, tensors, pairs = self.take("<4sIQQ")
        assert (magic, version) == (b"GGUF", 3)
        self.pairs = [self.take_pair() for _ in range(pairs)]  # (key, its bytes)
        self.values = dict(self.pairs)
        assert len(self.values) == pairs
        alignment = self.values.get("general.alignment")
        self.alignment = struct.unpack("<I", alignment[-4:])[0] if alignment else 32
        self.tensors = [self.take_info() for _ in range(tensors)]  # (name, shape, type, data)
        start = self.at + -self.at % self.alignment
        assert not any(data[self.at:start])
        end = 0
        for i, (name, shape, kind, offset) in enumerate(self.tensors):
            elements, size = BLOCKS[kind]
            assert not shape or shape[-1] % elements == 0
            size = int(np.prod(shape, dtype=np.uint64)) // elements * size
            if contiguous:
                assert offset == end, (name, offset, end)
                end = offset + size + -size % self.alignment
                assert not any(data[start + offset + size:start + end])
            self.tensors[i] = (name, shape, kind, data[start + offset:start + offset + size])
        assert not contiguous or len(data) == start + end

    def take(self, form):
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values if len(values) > 1 else values[0]

    def take_text(self):
        size = self.take("<Q")
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def skip_value(self, kind):
        if kind == STRING:
            self.take_text()
        elif kind == ARRAY:
            element, count = self.take("<IQ")
            for _ in range(count):
                self.skip_value(element)
        else:
            self.at += SIZES[kind]

    def take_pair(self):
        start = self.at
        key = self.take_text()
        self.skip_value(self.take("<I"))
        return key, self.data[start:self.at]

    def take_info(self):
        name, rank = self.take_text(), self.take("<I")
        shape = [self.take("<Q") for _ in range(rank)][::-1]
        kind, offset = self.take("<IQ")
        return name, shape, NAMES[kind], offset


def numbers(kind, data):
    """The elements of blocks, in F32, which is what ggml computes in."""
    size = BLOCKS[kind][1]
    blocks = np.frombuffer(data, np.uint8).reshape(-1, size)
    d = blocks[:, :2].copy().view("<f2").astype("<f4")
    if kind == "Q8_0":
        return (d * blocks[:, 2:].view(np.int8).astype("<f4")).reshape(-1)
    codes = blocks[:, size - 16:]
    codes = np.concatenate([codes & 15, codes >> 4], axis=1)
    if kind == "Q4_0":
        return (d * (codes.astype("<f4") - 8)).reshape(-1)
    m = blocks[:, 2:4].copy().view("<f2").astype("<f4")
    return (d * codes.astype("<f4") + m).reshape(-1)
