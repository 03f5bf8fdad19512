#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""torch_llama.py MODEL.safetensors CONFIG.json OUT COUNT ID... - runs a model with PyTorch.

Writes the logits of the tokens given, and of the COUNT that follow greedily, into OUT as F32, and prints those
that follow. Tensors are views of the mapped file: PyTorch's own operations read them from there.
"""
import json
import math
import mmap
import struct
import sys

import torch

DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


def map_tensors(path):
    """The tensors of a safetensors file, mapped privately as the library of that name does it."""
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    size, = struct.unpack_from("<Q", data)
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            dtype, begin, end = DTYPES[entry["dtype"]], *entry["data_offsets"]
            count = math.prod(entry["shape"])
            tensor = torch.frombuffer(data, dtype=dtype, count=count, offset=8 + size + begin)
            assert tensor.element_size() * count == end - begin
            tensors[name] = tensor.reshape(entry["shape"])
    return tensors


def norm(x, weight, epsilon):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * weight


def rotate(x, base):
    """Of [position, head, number]: halves of a head are the two coordinates."""
    half = x.shape[2] // 2
    angles = torch.outer(torch.arange(x.shape[0], dtype=torch.float64),
                         base ** (-torch.arange(half, dtype=torch.float64) / half))[:, None]
    cos, sin = angles.cos().float(), angles.sin().float()
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class Llama:
    def __init__(self, tensors, config):
        self.config = config
        self.weights = {name: tensor.float() for name, tensor in tensors.items()}

    def linear(self, x, name):
        return torch.nn.functional.linear(x, self.weights[name + ".weight"])

    def attention(self, x, at):
        heads, groups = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        n, size = len(x), self.config["hidden_size"] // heads
        q, k, v = (self.linear(x, f"{at}.{part}_proj").reshape(n, -1, size) for part in "qkv")
        q, k = (rotate(part, self.config["rope_theta"]) for part in (q, k))
        k, v = (part.repeat_interleave(heads // groups, 1) for part in (k, v))
        scores = torch.einsum("ihs,jhs->hij", q, k) / math.sqrt(size)
        scores += torch.full((n, n), -math.inf).triu(1)
        mixed = torch.einsum("hij,jhs->ihs", scores.softmax(-1), v)
        return self.linear(mixed.reshape(n, heads * size), f"{at}.o_proj")

    def logits(self, ids):
        epsilon = self.config["rms_norm_eps"]
        x = self.weights["model.embed_tokens.weight"][ids]
        for layer in range(self.config["num_hidden_layers"]):
            at = f"model.layers.{layer}"
            x = x + self.attention(norm(x, self.weights[at + ".input_layernorm.weight"], epsilon), at + ".self_attn")
            h = norm(x, self.weights[at + ".post_attention_layernorm.weight"], epsilon)
            gate = torch.nn.functional.silu(self.linear(h, at + ".mlp.gate_proj"))
            x = x + self.linear(gate * self.linear(h, at + ".mlp.up_proj"), at + ".mlp.down_proj")
        return self.linear(norm(x, self.weights["model.norm.weight"], epsilon), "model.embed_tokens")


def main():
    path, config, out, count = sys.argv[1:5]
    with open(config, encoding="utf-8") as file:
        config = json.load(file)
    assert config["tie_word_embeddings"]
    torch.set_num_threads(1)
    ids = [int(word) for word in sys.argv[5:]]
    with torch.inference_mode():
        model = Llama(map_tensors(path), config)
        for _ in range(int(count)):
            ids.append(int(model.logits(ids)[-1].argmax()))
        model.logits(ids).numpy().tofile(out)
    print(*ids[len(ids) - int(count):])


if __name__ == "__main__":
    main()
