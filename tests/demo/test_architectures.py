# SPDX-License-Identifier: MIT
"""What sets Phi-3 and Mistral apart from Llama: fused matrices, sliding windows, LongRoPE. Tiny random models of
awkward shape against the independent forward pass."""
import hashlib
import json
import os
import shutil
import sys
import unittest

import numpy as np

import modellib
import reference
from folders import NOVELLA, Folders, run, shorten_tokenizer

LIMIT = 1e-3  # largest difference of a logit
DIM, HIDDEN, HEADS, SHARED, SIZE, VOCAB = 33, 51, 3, 1, 6, 600  # odd rows: packed ones begin in the middle of a byte
PHI3 = {"architectures": ["Phi3ForCausalLM"], "model_type": "phi3"}
MISTRAL = {"architectures": ["MistralForCausalLM"], "model_type": "mistral"}
LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
LONG = "It was the first of all that he had said to the captain of the ship; and the sea lay still, as nobody knew " \
    "what they thought of it, or him, or her."  # 50 to 60 tokens
SHORT_FACTORS, LONG_FACTORS = [1.0, 1.1, 1.35], [1.0, 4.0, 17.5]
LONGROPE = {"max_position_embeddings": 64, "original_max_position_embeddings": 16,
            "rope_scaling": {"type": "longrope", "short_factor": SHORT_FACTORS, "long_factor": LONG_FACTORS}}


def layer_shapes(fused):
    yield "self_attn.o_proj", (DIM, HEADS * SIZE)
    yield "mlp.down_proj", (DIM, HIDDEN)
    if fused:
        yield "self_attn.qkv_proj", ((HEADS + 2 * SHARED) * SIZE, DIM)
        yield "mlp.gate_up_proj", (2 * HIDDEN, DIM)
        return
    for part, heads in (("q", HEADS), ("k", SHARED), ("v", SHARED)):
        yield f"self_attn.{part}_proj", (heads * SIZE, DIM)
    yield "mlp.gate_proj", (HIDDEN, DIM)
    yield "mlp.up_proj", (HIDDEN, DIM)


def write_source(path, kind, changes, dtype="F32"):
    os.mkdir(path)
    with open(os.path.join(NOVELLA, "tokenizer.json"), encoding="utf-8") as file:
        tokenizer = json.load(file)
    shorten_tokenizer(tokenizer)
    with open(os.path.join(path, "tokenizer.json"), "w", encoding="utf-8") as file:
        json.dump(tokenizer, file)
    config = {**kind, "hidden_size": DIM, "intermediate_size": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": HEADS,
              "num_key_value_heads": SHARED, "head_dim": SIZE, "vocab_size": VOCAB, "max_position_embeddings": 64,
              "rms_norm_eps": 1e-5, "rope_theta": 100.0, "sliding_window": None, "eos_token_id": 0, "bos_token_id": 0, **changes}
    with open(os.path.join(path, "config.json"), "w") as file:
        json.dump(config, file)
    random, tensors = np.random.default_rng(5), {}
    shapes = [("model.embed_tokens", (VOCAB, DIM)), ("lm_head", (VOCAB, DIM)), ("model.norm", (DIM,))]
    for layer in range(2):
        at = f"model.layers.{layer}."
        shapes += [(at + name, (DIM,)) for name in ("input_layernorm", "post_attention_layernorm")]
        shapes += [(at + name, shape) for name, shape in layer_shapes(kind is PHI3)]
    for name, shape in shapes:
        tensors[name + ".weight"] = modellib.Tensor.of(dtype, random.normal(0, 0.3, shape))
    modellib.write_safetensors(os.path.join(path, "model.safetensors"), tensors)


def codes_of(folder, entry):
    """The numbers of a tensor as they are in its file: an array of codes or of the dtype's bytes."""
    with open(os.path.join(folder, "quantized", entry["file"]), "rb") as file:
        raw = np.frombuffer(file.read(), np.uint8)
    if entry["bits"] == 4:
        raw = np.stack([raw & 15, raw >> 4], axis=1).reshape(-1)[:np.prod(entry["shape"])]
    return raw.reshape(entry["shape"][0], -1)


def take_apart(source, target):
    """The Phi-3 folder as that of a Llama model: the same codes, each part in a file of its own."""
    shutil.copytree(source, target)
    with open(os.path.join(target, "config.json")) as file:
        config = json.load(file)
    with open(os.path.join(target, "config.json"), "w") as file:
        json.dump({**config, **LLAMA}, file)
    with open(os.path.join(target, "quantized", "manifest.json")) as file:
        manifest = json.load(file)
    ends = {"qkv": [HEADS * SIZE, (HEADS + SHARED) * SIZE], "gate_up": [HIDDEN]}
    names = {"qkv": "qkv", "gate_up": ("gate", "up")}
    for entry in [entry for entry in manifest["tensors"] if "qkv" in entry["name"] or "gate_up" in entry["name"]]:
        manifest["tensors"].remove(entry)
        whole = "qkv" if "qkv" in entry["name"] else "gate_up"
        for part, codes in zip(names[whole], np.split(codes_of(source, entry), ends[whole])):
            own = {**entry, "name": entry["name"].replace(whole, part), "file": entry["file"].replace(whole, part),
                   "shape": [len(codes), DIM]}
            codes = codes.reshape(-1)
            with open(os.path.join(target, "quantized", own["file"]), "wb") as file:
                file.write((modellib.pack4(codes) if own["bits"] == 4 else codes).tobytes())
            manifest["tensors"].append(own)
        os.remove(os.path.join(target, "quantized", entry["file"]))
    with open(os.path.join(target, "quantized", "manifest.json"), "w") as file:
        json.dump(manifest, file)


class Architectures(Folders):
    def tiny(self, kind, bits=8, keep=False, dtype="F32", **changes):
        name = f"{kind['model_type']}-{dtype}-{hashlib.sha1(json.dumps(changes, sort_keys=True).encode()).hexdigest()}"
        source = os.path.join(self.scratch.name, name)
        if not os.path.exists(source):
            write_source(source, kind, changes, dtype)
        return self.folder(source, bits, **({"keep": lambda name: True} if keep else {}))

    def logits(self, folder, prompt, *arguments):
        out = os.path.join(self.scratch.name, "logits")
        self.text(folder, "--prompt", prompt, "--tokens=0", f"--logits={out}", *arguments)
        return np.fromfile(out, "<f4").reshape(-1, VOCAB)

    def compare(self, folder, *prompts):
        model, tokenizer = reference.Llama(folder), reference.Tokenizer(folder)
        for prompt in prompts:
            want, got = model.logits(tokenizer.encode(prompt)), self.logits(folder, prompt)
            self.assertEqual(got.shape, want.shape)
            self.assertLessEqual(np.max(np.abs(got - want)), LIMIT, prompt)

    def test_phi3(self):
        for options in ({"bits": 8}, {"bits": 4}, *({"keep": True, "dtype": dtype} for dtype in ("F64", "F32", "F16", "BF16"))):
            with self.subTest(options):
                self.compare(self.tiny(PHI3, **options), "It was the", LONG)

    def test_fused_is_the_same_as_apart(self):
        """To the last bit: of the logits, of one token and of many at a time, by one thread and by three."""
        for options in ({"bits": 8}, {"bits": 4}, {"keep": True, "dtype": "BF16"}):
            fused = self.tiny(PHI3, **options)
            apart = f"{fused}-apart"
            take_apart(fused, apart)
            for prompt in ("It", LONG):
                for threads in ("-j1", "-j3"):
                    self.assertEqual(self.logits(fused, prompt, threads).tobytes(), self.logits(apart, prompt, threads).tobytes())
            arguments = ["-pIt was", "--temp=1", "--seed=4", "-n40"]
            text = self.text(fused, *arguments)
            self.assertEqual(text, self.text(apart, *arguments))
            self.assertGreater(len(text), 40)

    def test_mistral(self):
        """Grouped heads that are not hidden_size / heads wide, and windows around the sizes of texts and batches."""
        self.compare(self.tiny(MISTRAL), "It was the", LONG)
        for window in (1, 5, 31, 33, 40, 64, 4096):
            with self.subTest(window):
                self.compare(self.tiny(MISTRAL, sliding_window=window), LONG)
        self.compare(self.tiny(PHI3, bits=4, sliding_window=7), LONG)

    def test_windows_hide(self):
        """What lies before the window changes nothing; a window that is not named is that of the architecture."""
        plain, narrow = self.tiny(MISTRAL), self.tiny(MISTRAL, sliding_window=5)
        self.assertFalse(np.array_equal(self.logits(plain, LONG)[-1], self.logits(narrow, LONG)[-1]))
        self.assertTrue(np.array_equal(self.logits(plain, LONG)[:5], self.logits(narrow, LONG)[:5]))
        unnamed = self.change("config.json", lambda c: c.pop("sliding_window"), plain)
        self.assertTrue(np.array_equal(self.logits(plain, LONG), self.logits(unnamed, LONG)))

    def test_longrope(self):
        """Short factors where the text and what is to be written fit the original context, else the long ones."""
        folder = self.tiny(PHI3, **LONGROPE)
        self.compare(folder, "It was the", LONG)
        self.assertFalse(np.array_equal(self.logits(folder, "It was the"), self.logits(self.tiny(PHI3), "It was the")))
        scaling = LONGROPE["rope_scaling"]
        self.compare(self.tiny(PHI3, **{**LONGROPE, "rope_scaling": {**scaling, "attention_factor": 1.5}}), "It was the", LONG)
        self.compare(self.tiny(PHI3, **{**LONGROPE, "rope_scaling": {**scaling, "long_factor": SHORT_FACTORS}}), LONG)
        want = self.logits(folder, LONG)
        for change in (lambda c: c["rope_scaling"].update(type="su"),
                       lambda c: c["rope_scaling"].update(original_max_position_embeddings=c.pop("original_max_position_embeddings")),
                       lambda c: c.update(rope_parameters={**c.pop("rope_scaling"), "rope_type": "longrope"})):
            self.assertTrue(np.array_equal(self.logits(self.change("config.json", change, folder), LONG), want))

    def test_long_factors_from_the_first_token_on(self):
        """A text that will outgrow the original context is rotated by the long factors throughout: what a token's
        numbers are does not depend on how the text came about."""
        folder = self.tiny(PHI3, **LONGROPE)
        model, ids = reference.Llama(folder), reference.Tokenizer(folder).encode("It was the")
        out = os.path.join(self.scratch.name, "grown")
        for tokens, padding in ((12, 0), (13, 13)):  # 4 + 12 positions are the original context
            self.text(folder, "-pIt was the", f"-n{tokens}", f"--logits={out}")
            got = np.fromfile(out, "<f4").reshape(len(ids), -1)
            want = model.logits(ids + [0] * padding)[:len(ids)]
            self.assertLessEqual(np.max(np.abs(got - want)), LIMIT)

    def test_fields_left_out(self):
        """Their values are those of the architecture, whose names are the same from either of two fields."""
        for kind, changes in ((MISTRAL, {}), (PHI3, {})):
            folder = self.tiny(kind, **changes)
            want = self.logits(folder, LONG)
            for key in ("architectures", "model_type", "eos_token_id"):
                self.assertTrue(np.array_equal(self.logits(self.change("config.json", lambda c: c.pop(key), folder), LONG), want))
        phi = self.change("config.json", lambda c: c.pop("rms_norm_eps"), self.tiny(PHI3))
        self.assertTrue(np.array_equal(self.logits(phi, LONG), self.logits(self.tiny(PHI3), LONG)))
        mistral = self.change("config.json", lambda c: c.pop("num_key_value_heads"), self.tiny(MISTRAL))
        done = run(mistral, "-pIt")
        self.assertIn(b"3 heads cannot share 8 key-value heads", done.stderr)

    def test_refused(self):
        def scaling(**values):
            return lambda c: c["rope_scaling"].update(values)

        folder = self.tiny(PHI3, **LONGROPE)
        for change, message in (
                (lambda c: c.update(LLAMA), "tensor 'model.layers.0.self_attn.q_proj.weight' is missing"),
                (lambda c: c.update(model_type="llama"), "its architecture is Phi3ForCausalLM, but its model_type llama"),
                (lambda c: c.update(num_key_value_heads=3), "'model.layers.0.self_attn.qkv_proj.weight': its shape is not what"),
                (lambda c: c.update(intermediate_size=52), "gate_up_proj.weight': its shape is not what"),
                (lambda c: c.update(partial_rotary_factor=0.75), "it rotates a part of each head (partial_rotary_factor)"),
                (lambda c: c.update(partial_rotary_factor=2), "partial_rotary_factor is not a number from 0 to 1"),
                (lambda c: c.update(sliding_window=0), "sliding_window is not a whole number from 1 to"),
                (lambda c: c.update(sliding_window=True), "sliding_window is not a whole number from 1 to"),
                (lambda c: c.update(sliding_window="5"), "sliding_window is not a whole number from 1 to"),
                (lambda c: c.update(rope_parameters={"rope_type": "yarn"}), "its rope_parameters is yarn, only the default"),
                (lambda c: c.pop("original_max_position_embeddings"), "original_max_position_embeddings is not a whole number"),
                (lambda c: c.update(original_max_position_embeddings=1), "original_max_position_embeddings is below 2"),
                (lambda c: c.update(original_max_position_embeddings=-1), "original_max_position_embeddings is not a whole"),
                (lambda c: c["rope_scaling"].pop("short_factor"), "its short_factor is not a list of 3 numbers"),
                (scaling(short_factor=[1.0, 1.0]), "its short_factor is not a list of 3 numbers"),
                (scaling(long_factor=[1.0] * 4), "its long_factor is not a list of 3 numbers"),
                (scaling(long_factor={"a": 1}), "its long_factor is not a list of 3 numbers"),
                (scaling(long_factor=[1.0, 0, 1.0]), "number 1 of its long_factor is not from"),
                (scaling(long_factor=[1.0, 1.0, "1"]), "number 2 of its long_factor is not from"),
                (scaling(short_factor=[-1, 1.0, 1.0]), "number 0 of its short_factor is not from"),
                (scaling(short_factor=[1e308, 1.0, 1.0]), "number 0 of its short_factor is not from"),
                (scaling(attention_factor=0), "attention_factor is not a number from"),
                (scaling(attention_factor="1"), "attention_factor is not a number from"),
                (scaling(short_mscale=1.2), "its short_mscale is not supported"),
                (lambda c: c.update(head_dim=514, rope_scaling={**c["rope_scaling"], "short_factor": [1.0] * 257}),
                 "its heads of 514 numbers are too wide for longrope")):
            done = run(self.change("config.json", change, folder), "-pIt was", "-n2")
            self.assertEqual((done.returncode, done.stdout), (1, b""), message)
            self.assertRegex(done.stderr, rb"\Aentrofs-run: cannot use '[^']+': [^\n]*\n\Z")
            self.assertIn(message, done.stderr.decode())


if __name__ == "__main__":
    sys.exit(unittest.main())
