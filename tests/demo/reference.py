# SPDX-License-Identifier: MIT
"""An independent, plain reading of what entrofs-run does: forward pass and tokenizers in Python.

Nothing here is shared with the program under test; it is written to be read, in double precision.
"""
import json
import os
import re
import shutil
import unicodedata

import numpy as np

import modellib

def write_folder(source, target, bits, bits_for=lambda name: None, keep=lambda name: False):
    """What a mounted image of this model shows to a reader of tensors: the manifest and the files."""
    os.makedirs(os.path.join(target, "quantized", "tensors"))
    for name in os.listdir(source):
        if name.endswith(".json"):
            shutil.copy(os.path.join(source, name), target)
    entries = []
    for name, tensor in modellib.read_safetensors(os.path.join(source, "model.safetensors")).items():
        entry = {"name": name, "dtype": tensor.dtype, "shape": tensor.shape}
        if keep(name) or not tensor.is_quantized():
            entry.update(bits=None, file=f"tensors/{name}.{tensor.dtype.lower()}")
            data = tensor.raw
        else:
            own = bits_for(name) or bits
            scheme, scale, zero, codes = modellib.quantize(tensor.values(), own)
            entry.update(bits=own, scheme=scheme, scale=float(scale), zero_point=zero,
                         file=f"tensors/{name}.u{own}")
            data = (codes if own == 8 else modellib.pack4(codes)).tobytes()
        with open(os.path.join(target, "quantized", entry["file"]), "wb") as file:
            file.write(data)
        entries.append(entry)
    with open(os.path.join(target, "quantized", "manifest.json"), "w") as file:
        json.dump({"format": 1, "tensors": entries}, file)


def read_folder(folder):
    """{name: double array} from a manifest and its files, dequantized."""
    weights = {}
    with open(os.path.join(folder, "quantized", "manifest.json")) as file:
        entries = json.load(file)["tensors"]
    for entry in entries:
        with open(os.path.join(folder, "quantized", entry["file"]), "rb") as file:
            raw = file.read()
        if entry["bits"] is None:
            values = modellib.Tensor(entry["dtype"], entry["shape"], raw).values()
        else:
            codes = np.frombuffer(raw, np.uint8)
            if entry["bits"] == 4:
                codes = np.stack([codes & 15, codes >> 4], axis=1).reshape(-1)[:np.prod(entry["shape"])]
            values = entry["scale"] * (codes.astype(np.float64) - entry["zero_point"])
        weights[entry["name"]] = values.reshape(entry["shape"])
    return weights


class Llama:
    """The whole sequence at once, all positions of a layer together."""

    def __init__(self, folder):
        with open(os.path.join(folder, "config.json")) as file:
            self.config = json.load(file)
        self.weights = read_folder(folder)
        if self.config.get("model_type") == "phi3":
            self.take_apart()

    def take_apart(self):
        """The parts of what a Phi-3 model keeps in one matrix, under the names they have elsewhere."""
        c = self.config
        size = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
        ends = [c["num_attention_heads"] * size, (c["num_attention_heads"] + c["num_key_value_heads"]) * size]
        for layer in range(c["num_hidden_layers"]):
            at = f"model.layers.{layer}."
            whole = {"self_attn.qkv_proj": ("q", "k", "v"), "mlp.gate_up_proj": ("gate", "up")}
            for name, parts in whole.items():
                rows = self.weights.pop(f"{at}{name}.weight")
                cut = ends if len(parts) == 3 else [c["intermediate_size"]]
                for part, values in zip(parts, np.split(rows, cut)):
                    self.weights[f"{at}{name.split('.')[0]}.{part}_proj.weight"] = values

    def norm(self, x, name):
        mean = np.mean(x * x, axis=-1, keepdims=True)
        return x / np.sqrt(mean + self.config["rms_norm_eps"]) * self.weights[name + ".weight"]

    def rotate(self, x):
        """LongRoPE as arXiv 2402.13753 has it; positions within the original context keep to the short factors."""
        c, positions, half = self.config, x.shape[0], x.shape[2] // 2
        rates, size = c.get("rope_theta", 10000.0) ** (-np.arange(half) / half), 1.0
        if scaling := c.get("rope_scaling"):
            original = c["original_max_position_embeddings"]
            rates = rates / np.array(scaling["long_factor" if positions > original else "short_factor"])
            size = scaling.get("attention_factor") or \
                np.sqrt(1 + np.log(c["max_position_embeddings"] / original) / np.log(original))
        angles = np.arange(positions)[:, None, None] * rates
        first, second = x[..., :half], x[..., half:]
        return size * np.concatenate([first * np.cos(angles) - second * np.sin(angles),
                                      second * np.cos(angles) + first * np.sin(angles)], axis=-1)

    def logits(self, ids):
        c, w = self.config, self.weights
        heads, kv_heads = c["num_attention_heads"], c.get("num_key_value_heads", c["num_attention_heads"])
        size = c.get("head_dim") or c["hidden_size"] // heads
        n = len(ids)
        x = w["model.embed_tokens.weight"][ids]
        hidden = np.triu(np.full((n, n), -np.inf), 1)
        if c.get("sliding_window"):
            hidden += np.tril(np.full((n, n), -np.inf), -c["sliding_window"])
        for layer in range(c["num_hidden_layers"]):
            at = f"model.layers.{layer}."
            h = self.norm(x, at + "input_layernorm")
            q, k, v = (h @ w[f"{at}self_attn.{part}_proj.weight"].T for part in "qkv")
            q = self.rotate(q.reshape(n, heads, size))
            k = np.repeat(self.rotate(k.reshape(n, kv_heads, size)), heads // kv_heads, axis=1)
            v = np.repeat(v.reshape(n, kv_heads, size), heads // kv_heads, axis=1)
            q, k, v = (array.transpose(1, 0, 2) for array in (q, k, v))
            scores = q @ k.transpose(0, 2, 1) / np.sqrt(size) + hidden
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            scores /= scores.sum(axis=-1, keepdims=True)
            mixed = (scores @ v).transpose(1, 0, 2).reshape(n, heads * size)
            x = x + mixed @ w[at + "self_attn.o_proj.weight"].T
            h = self.norm(x, at + "post_attention_layernorm")
            gate = h @ w[at + "mlp.gate_proj.weight"].T
            h = gate / (1 + np.exp(-gate)) * (h @ w[at + "mlp.up_proj.weight"].T)
            x = x + h @ w[at + "mlp.down_proj.weight"].T
        x = self.norm(x, "model.norm")
        name = "model.embed_tokens" if c.get("tie_word_embeddings") else "lm_head"
        return x @ w[name + ".weight"].T

    def greedy(self, ids, count):
        ids = list(ids)
        for _ in range(count):
            ids.append(int(np.argmax(self.logits(ids)[-1])))
        return ids[-count:]


def letter_kind(char):
    """What \\s, \\p{L} and \\p{N} say."""
    if char.isspace() and char not in "\x1c\x1d\x1e\x1f":  # Python alone calls those four spaces
        return "s"
    return {"L": "l", "N": "n"}.get(unicodedata.category(char)[0], "o")


def gpt2_words(text):
    """The pattern of GPT-2, over a shadow of the text in which a letter names a character's kind."""
    shadow = "".join(letter_kind(char) for char in text)
    words, at = [], 0
    while at < len(text):
        ending = re.match(r"'(?:s|t|re|ve|m|ll|d)", text[at:])
        blank = 1 if text[at] == " " else 0
        match = re.match(r"l+|n+|o+", shadow[at + blank:])
        if ending:
            end = at + ending.end()
        elif match:
            end = at + blank + match.end()
        else:  # spaces: all of them at the end, else all but the last, which is left to the next word
            end = at + re.match("s+", shadow[at:]).end()
            end = end if end == len(text) else max(end - 1, at + 1)
        words.append(text[at:end])
        at = end
    return words


def merge(symbols, ranks):
    symbols = list(symbols)
    while True:
        pairs = [(ranks.get(pair), i) for i, pair in enumerate(zip(symbols, symbols[1:]))]
        pairs = [pair for pair in pairs if pair[0] is not None]
        if not pairs:
            return symbols
        _, i = min(pairs)
        symbols[i:i + 2] = [symbols[i] + symbols[i + 1]]


def byte_alphabet():
    own = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    return {**{byte: chr(byte) for byte in own}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}


class Tokenizer:
    def __init__(self, folder):
        with open(os.path.join(folder, "tokenizer.json")) as file:
            self.json = json.load(file)
        self.vocab = self.json["model"]["vocab"]
        lines = self.json["model"]["merges"]
        self.ranks = {tuple(line.split(" ") if isinstance(line, str) else line): rank
                      for rank, line in enumerate(lines)}
        self.added = {token["content"]: token["id"] for token in self.json["added_tokens"]}
        self.texts = {number: text for text, number in {**self.vocab, **self.added}.items()}
        self.byte_level = self.json["pre_tokenizer"] is not None
        self.alphabet = byte_alphabet()

    def encode(self, text):
        pattern = "|".join(re.escape(added) for added in sorted(self.added, key=len, reverse=True))
        ids = [] if self.byte_level else [1]  # <s>, by the post-processor of the one model we have
        for part in re.split(f"({pattern})", text):
            if part in self.added:
                ids.append(self.added[part])
            elif part:
                ids += self.encode_bytes(part) if self.byte_level else self.encode_characters(part)
        return ids

    def encode_bytes(self, text):
        ids = []
        for word in gpt2_words(text):
            symbols = merge([self.alphabet[byte] for byte in word.encode()], self.ranks)
            ids += [self.vocab[symbol] for symbol in symbols]
        return ids

    def encode_characters(self, text):
        symbols = []
        for char in "\u2581" + text.replace(" ", "\u2581"):
            symbols += [char] if char in self.vocab else [f"<0x{byte:02X}>" for byte in char.encode()]
        return [self.vocab[symbol] for symbol in merge(symbols, self.ranks)]

    def decode(self, ids):
        """The text after something, so with its leading space."""
        data = b""
        back = {char: byte for byte, char in self.alphabet.items()}
        for number in ids:
            text = self.texts[number]
            if text in self.added:
                continue
            if self.byte_level:
                data += bytes(back[char] for char in text)
            elif re.fullmatch("<0x[0-9A-F]{2}>", text):
                data += bytes([int(text[3:5], 16)])
            else:
                data += text.replace("\u2581", " ").encode()
        return data.decode(errors="replace")
