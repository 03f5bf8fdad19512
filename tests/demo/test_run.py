# SPDX-License-Identifier: MIT
"""entrofs-run against an independent forward pass and tokenizer, and against hostile folders.

The folders are written by the test's own quantizer: what is proved here holds without any image.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np

import modellib
import reference
import unicode_classes

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(os.environ.get("BUILD", os.path.join(ROOT, "build")), "entrofs-run")
NOVELLA = os.path.join(ROOT, "runtime-demo", "model")
STORIES = os.path.join(ROOT, "..", "shared", "models", "stories260k")
LIMIT = 1e-3  # largest difference of a logit

PROMPTS = ["It was", "The old man said that", "", '"I do not know," she answered, "why', "1866, in the"]
TEXTS = [
    "It was", " It was", "It  was", "  two  spaces   three   ", "\n", "\n\n\nA\n \n B",
    "\t\ttabs\t and\r\nlines", "I'll don't he's we've I'm they're she'd 'tis 'LL it's's", "'", "''s",
    "x'", "12 345 6,789.01 7th A4", "naïve café Æsop œuvre", "“quoted” — dash…", "Привет мир",
    "日本語のテキスト", "हिन्दी", "٣٤ Ⅷ ½ ²", "😀👨\u200d👩 ok", "\u00a0nbsp\u00a0\u2003em\u3000wide",
    "<|endoftext|>", "a<|endoftext|> b<|endoftext|><|endof", "</s><s> x", "a\u0301e\u0308",
    "________", "!?...--;;(){}[]<>|", "MiXeD CaSe WORDS", "x" * 200, " " * 50 + "y",
    "\u2581already\u2581there",
]


def run(*arguments, **options):
    return subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=120, **options)


class Folders(unittest.TestCase):
    """Model folders, each written once and shared by the tests, which do not change them."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="entrofs-demo-")
        cls.made = {}

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def folder(self, source, bits, **options):
        key = f"{os.path.basename(source)}-{bits}-{'-'.join(sorted(options))}"
        if not os.path.isdir(source):
            self.skipTest(f"{os.path.basename(source)} is not here")
        if key not in self.made:
            path = os.path.join(self.scratch.name, key)
            reference.write_folder(source, path, bits, **options)
            self.made[key] = path
        return self.made[key]

    def text(self, folder, *arguments):
        done = run(folder, *arguments)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout.decode()


    def copy(self, source=None):
        """A folder to break: its files are links to the good one's, so replace, never write into them."""
        path = tempfile.mkdtemp(dir=self.scratch.name)
        shutil.copytree(source or self.folder(NOVELLA, 8), path, copy_function=os.link, dirs_exist_ok=True)
        return path

    def replace(self, folder, name, data):
        file = os.path.join(folder, name)
        os.remove(file)
        with open(file, "wb") as new:
            new.write(data)

    def change(self, name, change):
        """A copy of the good folder, one JSON file of it changed."""
        path = self.copy()
        with open(os.path.join(path, name)) as old:
            value = json.load(old)
        change(value)
        self.replace(path, name, json.dumps(value).encode())
        return path


class Logits(Folders):
    def compare(self, folder, prompts, *arguments):
        model, tokenizer = reference.Llama(folder), reference.Tokenizer(folder)
        out = os.path.join(self.scratch.name, "logits")
        for prompt in prompts:
            self.text(folder, "--prompt", prompt, "--tokens=0", f"--logits={out}", *arguments)
            ids = tokenizer.encode(prompt) if prompt else [model.config["bos_token_id"]]
            got = np.fromfile(out, "<f4").reshape(len(ids), -1)
            want = model.logits(ids)
            self.assertEqual(got.shape, want.shape)
            worst = np.max(np.abs(got - want))
            self.assertLessEqual(worst, LIMIT, prompt)

    def test_uint8(self):
        self.compare(self.folder(NOVELLA, 8), PROMPTS)

    def test_uint4(self):
        self.compare(self.folder(NOVELLA, 4), PROMPTS)

    def test_whole_context(self):
        text = "The sea was calm and the ship lay still, and nobody knew what the captain thought. " * 8
        self.compare(self.folder(NOVELLA, 8), [text])

    def test_threads_change_nothing(self):
        folder = self.folder(NOVELLA, 8)
        outs = []
        for threads in (1, 2, 3):
            out = os.path.join(self.scratch.name, f"threads{threads}")
            self.text(folder, "-pIt was", "-n0", f"--logits={out}", f"-j{threads}")
            with open(out, "rb") as file:
                outs.append(file.read())
        self.assertEqual(outs[0], outs[1])
        self.assertEqual(outs[0], outs[2])

    def test_kept_in_bf16(self):
        self.compare(self.folder(NOVELLA, 8, keep=lambda name: True), PROMPTS[:2])

    def test_files_that_cannot_be_mapped(self):
        """As on a file system without shared mappings: the files are read instead."""
        if "address" in PROGRAM or "thread" in PROGRAM:
            self.skipTest("a sanitizer must be the first library")
        source, library = (os.path.join(self.scratch.name, name) for name in ("no_mmap.c", "no_mmap.so"))
        with open(source, "w") as file:
            file.write("#include <errno.h>\nvoid *mmap64(void) { errno = ENODEV; return (void *)-1; }\n"
                       "void *mmap(void) { return mmap64(); }\n")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        out = os.path.join(self.scratch.name, "mapped"), os.path.join(self.scratch.name, "read")
        folder = self.folder(NOVELLA, 4)
        self.text(folder, "-pIt was", "-n0", f"--logits={out[0]}")
        done = run(folder, "-pIt was", "-n0", f"--logits={out[1]}", "--stats", env={"LD_PRELOAD": library})
        self.assertRegex(done.stderr, rb"mapped +0\.00 MB")
        with open(out[0], "rb") as mapped, open(out[1], "rb") as read:
            self.assertEqual(mapped.read(), read.read())

    def test_mixed_bits(self):
        mixed = self.folder(NOVELLA, 8, bits_for=lambda name: 4 if "mlp" in name else None,
                            keep=lambda name: "o_proj" in name)
        self.compare(mixed, PROMPTS[:2])

    def test_stories(self):
        for bits in (8, 4):
            self.compare(self.folder(STORIES, bits), ["", "Once upon a time", "Zo\u00eb  saw 3 \U0001f600 cats"])


class Tiny(Folders):
    """A random model of awkward shape: odd row lengths (uint4 rows begin in the middle of a byte), an
    untied output, one key-value head, heads that are not hidden_size / heads wide, every kept dtype."""

    def write(self, bits):
        path = os.path.join(self.scratch.name, f"tiny-source-{bits}")
        os.mkdir(path)
        shutil.copy(os.path.join(NOVELLA, "tokenizer.json"), path)
        config = {"architectures": ["LlamaForCausalLM"], "hidden_size": 33, "intermediate_size": 51,
                  "num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 1,
                  "head_dim": 6, "vocab_size": 4096, "max_position_embeddings": 40,
                  "rms_norm_eps": 1e-6, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
                  "rope_theta": 500.0, "eos_token_id": [0, 5], "bos_token_id": 0}
        with open(os.path.join(path, "config.json"), "w") as file:
            json.dump(config, file)
        random, tensors = np.random.default_rng(1), {}

        def add(name, dtype, *shape):
            tensors[name + ".weight"] = modellib.Tensor.of(dtype, random.normal(0, 0.3, shape))

        add("model.embed_tokens", "F16", 4096, 33)
        add("lm_head", "F32", 4096, 33)
        add("model.norm", "F64", 33)
        for layer in range(2):
            at = f"model.layers.{layer}."
            add(at + "input_layernorm", "F16", 33)
            add(at + "post_attention_layernorm", "F32", 33)
            add(at + "self_attn.q_proj", "F64", 18, 33)
            add(at + "self_attn.k_proj", "F32", 6, 33)
            add(at + "self_attn.v_proj", "BF16", 6, 33)
            add(at + "self_attn.o_proj", "F16", 33, 18)
            add(at + "mlp.gate_proj", "F32", 51, 33)
            add(at + "mlp.up_proj", "F32", 51, 33)
            add(at + "mlp.down_proj", "F32", 33, 51)
        modellib.write_safetensors(os.path.join(path, "model.safetensors"), tensors)
        return path

    def test_awkward_shapes(self):
        for bits, options in ((4, {}), (8, {}), (8, {"keep": lambda name: True})):
            source = self.write(f"{bits}{len(options)}")
            Logits.compare(self, self.folder(source, bits, **options), ["It was the", ""])


class Text(Folders):
    def greedy(self, folder, prompt, count):
        model, tokenizer = reference.Llama(folder), reference.Tokenizer(folder)
        ids = tokenizer.encode(prompt) or [model.config["bos_token_id"]]
        return tokenizer.decode(model.greedy(ids, count))

    def test_bf16_writes_the_published_text(self):
        folder = self.folder(NOVELLA, 8, keep=lambda name: True)
        text = self.text(folder, "--prompt=It was", "--tokens=24")
        self.assertTrue(text.startswith("It was the first time I had been to see the Count's face, and "
                                        "I was so glad to see him."), text)

    def test_uint8_text(self):
        folder = self.folder(NOVELLA, 8)
        text = self.text(folder, "--prompt=It was", "--tokens=16")
        self.assertTrue(text.startswith("It was the first time I had been to see the Count"), text)
        self.assertEqual(text, "It was" + self.greedy(folder, "It was", 16) + "\n")

    def test_uint4_text(self):
        folder = self.folder(NOVELLA, 4)
        self.assertEqual(self.text(folder, "--prompt=It was", "--tokens=10"),
                         "It was" + self.greedy(folder, "It was", 10) + "\n")

    def test_stories_text(self):
        text = self.text(self.folder(STORIES, 8), "--tokens=64")
        self.assertTrue(text.startswith("Once upon a time, there was a little girl named Lily. "
                                        "She loved to play outside in the park."), text)

    def test_same_seed_same_text(self):
        folder = self.folder(NOVELLA, 8)
        texts = [self.text(folder, "-pIt was", "--temp=0.9", f"--seed={seed}", "-n40")
                 for seed in (1, 1, 2, 3)]
        self.assertEqual(texts[0], texts[1])
        self.assertEqual(len(set(texts)), 3)

    def test_stops_at_the_end_of_the_text(self):
        """config.json names, as one number or among several, the token that would come third."""
        folder = self.folder(NOVELLA, 8)
        tokenizer = reference.Tokenizer(folder)
        ids = reference.Llama(folder).greedy(tokenizer.encode("It was"), 3)
        for eos in (ids[2], [4095, ids[2]]):
            ending = self.change("config.json", lambda c: c.update(eos_token_id=eos))
            self.assertEqual(self.text(ending, "-pIt was"), "It was" + tokenizer.decode(ids[:2]) + "\n")

    def test_stops_at_the_context(self):
        done = run(self.folder(NOVELLA, 8), "-pIt was", "-n100000", "--stats")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"context of 256 tokens", done.stderr)
        self.assertRegex(done.stderr, rb"written +254 tokens")

    def test_refuses_a_prompt_beyond_the_context(self):
        done = run(self.folder(NOVELLA, 8), "-p" + "word " * 400)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"exceed the model's context of 256", done.stderr)

    def test_output_is_always_utf8_without_controls(self):
        folder = self.folder(NOVELLA, 4)
        text = self.text(folder, "-p", "\U0001f600 \u00e9", "--temp=30", "--seed=5", "-n200")
        self.assertFalse([char for char in text if ord(char) < 32 and char not in "\n\t"])


class Tokens(Folders):
    def check(self, folder):
        tokenizer = reference.Tokenizer(folder)
        for text in TEXTS:
            got = [int(word) for word in self.text(folder, "--tokenize", "--prompt", text).split()]
            self.assertEqual(got, tokenizer.encode(text), repr(text))

    def test_byte_level(self):
        self.check(self.folder(NOVELLA, 8))

    def test_characters(self):
        self.check(self.folder(STORIES, 8))

    def test_known_values(self):
        """Fixed numbers: they do not follow the reference above if that is wrong."""
        with open(os.path.join(NOVELLA, "tokenizer.json")) as file:
            vocab = json.load(file)["model"]["vocab"]
        got = self.text(self.folder(NOVELLA, 8), "--tokenize", "--prompt", "It was  5's\n").split()
        words = ["It", "\u0120was", "\u0120", "\u0120", "5", "'s", "\u010a"]
        self.assertEqual([int(number) for number in got], [vocab[word] for word in words])

    def test_merges_as_pairs(self):
        def change(tokenizer):
            merges = tokenizer["model"]["merges"]
            tokenizer["model"]["merges"] = [line.split(" ") for line in merges]
        self.check(self.change("tokenizer.json", change))

    def test_digits_apart(self):
        def change(tokenizer):
            tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}]}
        folder = self.change("tokenizer.json", change)
        tokenizer = reference.Tokenizer(folder)
        got = self.text(folder, "--tokenize", "--prompt", "in 1866 or 7").split()
        parts = ["in ", "1", "8", "6", "6", " or ", "7"]
        self.assertEqual([int(number) for number in got],
                         [number for part in parts for number in tokenizer.encode_bytes(part)])

    def test_prefix_space(self):
        def change(tokenizer):
            tokenizer["pre_tokenizer"]["add_prefix_space"] = True
        folder = self.change("tokenizer.json", change)
        self.assertEqual(self.text(folder, "--tokenize", "--prompt=was it"),
                         self.text(folder, "--tokenize", "--prompt= was it"))

    def test_unicode_classes(self):
        """The table is what its generator makes of the Unicode version it names."""
        with open(os.path.join(ROOT, "runtime-demo", "unicode_classes.h")) as file:
            text = file.read()
        made = unicode_classes.header()
        if f"Unicode {unicode_classes.unicodedata.unidata_version}." not in text:
            self.skipTest("Python knows another version of Unicode")
        self.assertEqual(text.split(), made.split())


class Hostile(Folders):
    """Each broken folder ends with one line on stderr, nothing on stdout and exit status 1."""

    def refuses(self, folder, message, *arguments):
        done = run(folder, "-pIt was", "-n5", *arguments)
        error = done.stderr.decode()
        self.assertEqual(done.returncode, 1, error)
        self.assertEqual(done.stdout, b"")
        self.assertRegex(error, r"\Aentrofs-run: [^\n]*\n\Z")
        self.assertRegex(error, message)

    def tensor(self, **values):
        def change(manifest):
            entry = next(e for e in manifest["tensors"] if e["name"] == "model.embed_tokens.weight")
            entry.update(values)
        return self.change("quantized/manifest.json", change)

    def test_no_model(self):
        self.refuses("/nonexistent", "cannot open '/nonexistent': No such file")
        self.refuses(tempfile.mkdtemp(dir=self.scratch.name),
                     r"quantized/manifest.json: No such file or directory \(is an image mounted there\?\)")

    def test_usage(self):
        for arguments in ((), ("a", "b"), ("--nonsense", "a"), ("--tokens=x", "a"), ("--tokens=-1", "a"),
                          ("--temp=nan", "a"), ("--seed=99999999999999999999", "a"), ("--threads=0", "a")):
            done = run(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, b""), arguments)
        self.assertEqual(run("--help").returncode, 0)
        self.assertIn(b"Usage", run("--help").stdout)

    def test_tensor_files(self):
        for size in (0, 100, 4096 * 288 - 1, 4096 * 288 + 1):
            path = self.copy()
            self.replace(path, "quantized/tensors/model.embed_tokens.weight.u8", bytes(size))
            self.refuses(path, "its shape asks for 1179648")
        path = self.copy()
        os.remove(os.path.join(path, "quantized/tensors/model.norm.weight.bf16"))
        self.refuses(path, "cannot open 'tensors/model.norm.weight.bf16'")
        os.mkfifo(os.path.join(path, "quantized/tensors/model.norm.weight.bf16"))
        self.refuses(path, "not a regular file")

    def test_files_outside(self):
        inside = "tensors/model.embed_tokens.weight.u8"
        for file in (f"../quantized/{inside}", f"tensors/../{inside}", "..", "tensors/..", "/dev/zero", "", None,
                     7):
            self.refuses(self.tensor(file=file), "its file is not inside the folder")
        path = self.copy()
        link = os.path.join(path, "quantized", inside)
        os.rename(link, os.path.join(path, "elsewhere"))
        os.symlink("../../elsewhere", link)
        self.refuses(path, "cannot open")

    def test_manifest_values(self):
        for shape in ([4096, 289], [288, 4096], [4096], [4096, 288, 1], [-1, 288], ["4096", 288], None, 5,
                      [4096.0, 288], [2 ** 63 - 1, 2]):
            self.refuses(self.tensor(shape=shape), "its shape is not what config.json says")
        for bits in (3, 16, 0, -8, 2 ** 40):
            self.refuses(self.tensor(bits=bits), "its bits are neither 8 nor 4")
        for bits in ("8", 8.0, True, []):
            self.refuses(self.tensor(bits=bits), "its bits and dtype are not known")
        self.refuses(self.tensor(bits=None, dtype="F8_E4M3"), "its bits and dtype are not known")
        self.refuses(self.tensor(bits=None, dtype="F32"), "its shape asks for 4718592")
        self.refuses(self.tensor(bits=4), "its shape asks for 589824")
        for scale in (None, "1", [1.0], 1e300):
            self.refuses(self.tensor(scale=scale), "its scale is not one finite number")
        for zero in (None, 1.5, [1], 2 ** 31):
            self.refuses(self.tensor(zero_point=zero), "its zero_point is not one whole number")

    def test_manifest_structure(self):
        file = "quantized/manifest.json"
        self.refuses(self.change(file, lambda m: m.pop("tensors")), "it lists no tensors")
        self.refuses(self.change(file, lambda m: m.update(tensors={})), "it lists no tensors")
        self.refuses(self.change(file, lambda m: m.update(format=2)), "its format is not 1")
        self.refuses(self.change(file, lambda m: m["tensors"].append(3)), "has no name")
        self.refuses(self.change(file, lambda m: m["tensors"].pop(5)), "is missing")
        self.refuses(self.change(file, lambda m: m["tensors"].append(m["tensors"][0])), "is listed twice")
        path = self.copy()
        shutil.rmtree(os.path.join(path, "quantized"))
        self.refuses(path, "is an image mounted there")

    def test_config_values(self):
        for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"):
            for value in (None, 0, 2 ** 40, 1.5):
                self.refuses(self.change("config.json", lambda c: c.update({key: value})), f"{key} is not")
        for key, value in (("num_key_value_heads", 4), ("head_dim", 47), ("rope_theta", "x"), ("rms_norm_eps", -1),
                           ("eos_token_id", 4096), ("eos_token_id", [0] * 9), ("bos_token_id", -1),
                           ("tie_word_embeddings", "yes"), ("max_position_embeddings", 0)):
            self.refuses(self.change("config.json", lambda c: c.update({key: value})), "config.json")

    def test_config_disagrees_with_tensors(self):
        for key, value in (("hidden_size", 300), ("intermediate_size", 769), ("num_hidden_layers", 7),
                           ("num_key_value_heads", 6), ("head_dim", 50), ("tie_word_embeddings", False)):
            self.refuses(self.change("config.json", lambda c: c.update({key: value})), "shape|missing")

    def test_other_models(self):
        for key, value, message in (
                ("architectures", ["GPT2LMHeadModel"], "its architecture is GPT2LMHeadModel"),
                ("architectures", [], None), ("hidden_act", "gelu", "its activation is gelu"),
                ("attention_bias", True, "biases"), ("mlp_bias", True, "biases"),
                ("rope_scaling", {"rope_type": "llama3", "factor": 8.0}, "its rope_scaling is llama3"),
                ("rope_scaling", {"type": "linear"}, "its rope_scaling is linear"),
                ("architectures", ["evil\n\x1b[31mname"], r"evil\?\?\[31mname")):
            folder = self.change("config.json", lambda c: c.update({key: value}))
            if message is None:  # model_type alone says llama
                self.assertEqual(run(folder, "-n1").returncode, 0)
            else:
                self.refuses(folder, message)

    def test_tokenizers(self):
        def model(**values):
            return lambda t: t["model"].update(values)
        for change, message in (
                (model(type="Unigram"), "model Unigram is not supported"),
                (model(vocab=[]), "model BPE"),
                (model(vocab={"a": 4096}), "the id of 'a'"), (model(vocab={"a": -1}), "the id of 'a'"),
                (model(vocab={"a": 1, "b": 1}), "given twice"),
                (model(merges=["ab"]), "is not a pair"), (model(merges=[["a"]]), "is not a pair"),
                (model(merges=[5]), "is not a pair"), (model(merges=["h nonsense"]), "do not exist"),
                (model(dropout=0.1), "dropout"), (model(end_of_word_suffix="</w>"), "end_of_word_suffix"),
                (lambda t: t.update(normalizer={"type": "NFC"}), "normalizer NFC"),
                (lambda t: t.update(pre_tokenizer={"type": "Whitespace"}), "pre-tokenizer Whitespace"),
                (lambda t: t.update(pre_tokenizer=None), "normalizer"),
                (lambda t: t.update(post_processor={"type": "BertProcessing"}), "post-processor BertProcessing"),
                (lambda t: t["added_tokens"].append({"id": 1, "content": "x", "lstrip": True}), "options of 'x'"),
                (lambda t: t["added_tokens"].append({"id": 9}), "has no content"),
                (lambda t: t.pop("model"), "model")):
            self.refuses(self.change("tokenizer.json", change), message)

    def test_not_json(self):
        for name in ("config.json", "tokenizer.json", "quantized/manifest.json"):
            for text in (b"", b"{", b"[]", b"\xff\xfe", b'{"a": 1, "a": 2}', b"[" * 100000, os.urandom(4096)):
                path = self.copy()
                self.replace(path, name, text)
                self.refuses(path, os.path.basename(name))

    def test_bytes_that_are_no_text(self):
        """Each byte that is not part of a character is one by itself, and has its own token."""
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]  # in byte-level tokenizers
        others = [byte for byte in range(256) if byte not in printable]
        with open(os.path.join(NOVELLA, "tokenizer.json"), encoding="utf-8") as file:
            vocabulary = json.load(file)["model"]["vocab"]
        for prompt in (b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"):
            done = run(NOVELLA, "--tokenize", b"-p" + prompt)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            characters = [chr(byte if byte in printable else 256 + others.index(byte)) for byte in prompt]
            self.assertEqual(done.stdout.split(), [b"%d" % vocabulary[each] for each in characters])


if __name__ == "__main__":
    sys.exit(unittest.main())
