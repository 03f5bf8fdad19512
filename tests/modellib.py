# SPDX-License-Identifier: MIT
"""Models for tests: safetensors files made from arrays, and what entrofs must make of them.

The quantizer here is written from the formulas of docs/design.md with NumPy, independently of
quantizer/: it says which bytes a mounted tensor must hold.
"""
import json
import os
import struct

import numpy as np

FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
OTHERS = {"BOOL": np.uint8, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16,
          "U32": np.uint32, "I32": np.int32, "U64": np.uint64, "I64": np.int64}


class Tensor:
    """dtype as in safetensors, raw little-endian bytes; values in double for the float dtypes."""

    def __init__(self, dtype, shape, raw):
        self.dtype, self.shape, self.raw = dtype, list(shape), bytes(raw)

    @staticmethod
    def of(dtype, array):
        array = np.asarray(array)
        if dtype == "BF16":  # by truncation: any BF16 value will do
            raw = (array.astype("<f4").view("<u4") >> 16).astype("<u2")
        else:
            raw = array.astype(np.dtype({**FLOATS, **OTHERS}[dtype]).newbyteorder("<"))
        return Tensor(dtype, array.shape, raw.tobytes())

    def values(self):
        if self.dtype == "BF16":
            halves = np.frombuffer(self.raw, "<u2").astype("<u4") << 16
            return halves.astype("<u4").view("<f4").astype(np.float64)
        return np.frombuffer(self.raw, FLOATS[self.dtype]).astype(np.float64)

    def is_quantized(self):
        return (self.dtype in FLOATS or self.dtype == "BF16") and len(self.shape) >= 2 \
            and len(self.raw) > 0


def write_safetensors(path, tensors, metadata=None):
    """tensors: a dictionary of names and Tensors, laid out in its order."""
    header, offset = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, tensor in tensors.items():
        end = offset + len(tensor.raw)
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(tensor.raw)


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()
    size, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        tensors[name] = Tensor(entry["dtype"], entry["shape"], data[8 + size + begin:8 + size + end])
    return tensors


def quantize(values, bits):
    """(scheme, scale, zero_point, codes) of values in double."""
    top = 2 ** bits - 1
    low, high = float(values.min()), float(values.max())
    if low == high:
        scale = np.float32(low) if low else np.float32(1)
        return "constant", scale, 0, np.full(values.shape, 1 if low else 0, np.uint8)
    if low >= 0 or high <= 0:
        extreme = high if low >= 0 else low
        scale = np.float32(extreme / top)
        scheme, zero = "unsigned", 0
    else:
        scale = np.float32((high - low) / top)
        scheme, zero = "asymmetric", int(np.rint(-low / float(scale)))
    codes = np.clip(np.rint(values / float(scale)) + zero, 0, top).astype(np.uint8)
    return scheme, scale, zero, codes


def pack4(codes):
    """Two codes to a byte, the first in the low nibble."""
    even = np.concatenate([codes, np.zeros(len(codes) % 2, np.uint8)])
    return even[0::2] | even[1::2] << 4


def expected_bytes(tensor, bits):
    """What the file of this tensor under quantized/tensors must hold."""
    if not tensor.is_quantized():
        return tensor.raw
    codes = quantize(tensor.values(), bits)[3]
    return (pack4(codes) if bits == 4 else codes).tobytes()


def varied_tensors(seed=1):
    """Every scheme, every float dtype, kept dtypes, awkward names and shapes; about 12 MB."""
    random = np.random.default_rng(seed)
    normal = random.standard_normal
    return {
        "model.embed.weight": Tensor.of("F32", normal((1536, 2048)) * 0.02),
        "model.layer.0.weight": Tensor.of("BF16", normal((301, 517))),
        "model.layer.1.weight": Tensor.of("F16", normal((64, 4096)) * 3),
        "model.layer.2.weight": Tensor.of("F64", normal((3, 5, 7))),
        "positive": Tensor.of("F32", np.abs(normal((129, 127)))),
        "negative": Tensor.of("F32", -np.abs(normal((40, 1000)))),
        "constant": Tensor.of("F32", np.full((300, 300), -2.5)),
        "zero": Tensor.of("BF16", np.zeros((64, 1025))),
        "one": Tensor.of("F32", [[0.75]]),
        "norm": Tensor.of("F32", normal(2048)),
        "bias": Tensor.of("BF16", normal(77)),
        "scalar": Tensor.of("F32", np.float32(3.25)),
        "empty": Tensor.of("F32", np.zeros((0, 4))),
        "noise": Tensor.of("U8", random.integers(0, 256, 100_003)),
        "positions": Tensor.of("I64", np.arange(4096)),
        "mask": Tensor.of("BOOL", np.tri(100)),
        "a/b: ü%": Tensor.of("F16", normal((10, 10))),
        ".hidden": Tensor.of("F32", normal((10, 11))),
        "long." * 50: Tensor.of("F32", normal((10, 12))),
    }


def spread_tensors(size=1 << 20, seed=2):
    """Tensors of `size` weights whose rows differ in scale, as those of trained models do: they get several code tables."""
    random = np.random.default_rng(seed)

    def rows(columns, scales):
        return random.standard_normal((len(scales), columns)).astype("f4") * np.float32(scales)[:, None]

    def log_normal(columns, sigma):
        return np.exp(sigma * random.standard_normal(size // columns))

    return {
        "embed.weight": Tensor.of("BF16", rows(512, np.linspace(0.3, 1.2, size // 512))),
        "layer.0.weight": Tensor.of("BF16", rows(4096, log_normal(4096, 0.6))),
        "layer.1.weight": Tensor.of("BF16", rows(16384, log_normal(16384, 0.4))),
        "experts.weight": Tensor.of("F16", rows(32768, np.where(np.arange(size // 32768) % 3, 1, 0.4))),
        "plain.weight": Tensor.of("BF16", rows(4096, np.ones(size // 4096))),
    }


def write_model(folder, tensors):
    """A model folder: model.safetensors and two sidecars."""
    os.makedirs(folder, exist_ok=True)
    write_safetensors(os.path.join(folder, "model.safetensors"), tensors)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump({"model_type": "test", "padding": "x" * 1000}, file)
    with open(os.path.join(folder, "tokenizer.json"), "w") as file:
        json.dump({"vocabulary": {f"token{i}": i for i in range(30_000)}}, file)
