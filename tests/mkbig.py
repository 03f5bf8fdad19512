#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes a large synthetic model: Gaussian BF16 weights at the shapes of a Llama-like model.

usage: mkbig.py FOLDER [GIGABYTES] - the same bytes every time. One tensor exceeds 512 MB.
"""
import json
import os
import struct
import sys

import numpy as np

HIDDEN, FFN, VOCAB = 2048, 5632, 131_072
ROWS = 1024  # made at once


def shapes(size):
    """(name, shape) until the BF16 weights reach size bytes."""
    yield "model.embed_tokens.weight", (VOCAB, HIDDEN)
    total, layer = VOCAB * HIDDEN * 2, 0
    while total < size:
        parts = [("self_attn.q_proj", (HIDDEN, HIDDEN)), ("self_attn.k_proj", (HIDDEN // 4, HIDDEN)),
                 ("self_attn.v_proj", (HIDDEN // 4, HIDDEN)), ("self_attn.o_proj", (HIDDEN, HIDDEN)),
                 ("mlp.gate_proj", (FFN, HIDDEN)), ("mlp.up_proj", (FFN, HIDDEN)),
                 ("mlp.down_proj", (HIDDEN, FFN)), ("input_layernorm", (HIDDEN,))]
        for part, shape in parts:
            yield f"model.layers.{layer}.{part}.weight", shape
            total += 2 * int(np.prod(shape))
        layer += 1


def main():
    folder, size = sys.argv[1], float(sys.argv[2]) * 1e9 if len(sys.argv) > 2 else 2e9
    os.makedirs(folder, exist_ok=True)
    header, offset, tensors = {}, 0, list(shapes(size))
    for name, shape in tensors:
        end = offset + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    random = np.random.default_rng(7)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for number, (_, shape) in enumerate(tensors):
            left, width = int(np.prod(shape)), 0.02 * (1 + number % 5 / 4)
            while left:
                count = min(left, ROWS * HIDDEN)
                part = random.standard_normal(count, np.float32) * np.float32(width)
                file.write((part.view(np.uint32) >> 16).astype("<u2").tobytes())
                left -= count
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump({"model_type": "llama", "hidden_size": HIDDEN, "vocab_size": VOCAB}, file)


if __name__ == "__main__":
    main()
