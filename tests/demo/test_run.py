# SPDX-License-Identifier: MIT
"""entrofs-run against an independent forward pass, and the texts that it writes."""
import json
import os
import shutil
import subprocess
import sys
import unittest

import numpy as np

import modellib
import reference
from folders import NOVELLA, PROGRAM, STORIES, Folders, run

LIMIT = 1e-3  # largest difference of a logit

PROMPTS = ["It was", "The old man said that", "", '"I do not know," she answered, "why', "1866, in the"]


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

    def test_seeds_on_every_machine(self):
        """Text that a seed must give wherever and by whichever compiler the program was built."""
        self.assertEqual(self.text(self.folder(NOVELLA, 8), "-pIt was", "--temp=0.8", "--top-k=40", "--top-p=0.95",
                                   "--repeat-penalty=1.1", "--seed=7", "-n60"),
                         "It was useless, and I thought I could have thought that if I were a young woman, I should not be quite "
                         "certain.\n\"You are a little self-forgetful, and my father,\" said he with the same contemptuous smile, "
                         "\"as Mr. and Mrs. Camp\n")
        self.assertEqual(self.text(self.folder(NOVELLA, 4), "-pThe captain", "--temp=1", "--seed=3", "-n40"),
                         "The captain appeared to make him an infussion.\n\"It's the stone particular most full,\" thought Nicholas; "
                         "and sinking from one steal lightly then.\n\"It's fret as\n")

    def test_one_token_to_choose_from_is_greedy(self):
        folder = self.folder(NOVELLA, 8)
        greedy = self.text(folder, "-pIt was", "-n40")
        for arguments in (["--top-k=1"], ["--top-p=0"], ["--top-k=1", "--top-p=0.5", "--repeat-penalty=1"],
                          ["--temp=1e-9"], ["--repeat-penalty=2", "--repeat-last=0", "--top-k=1"]):
            self.assertEqual(self.text(folder, "-pIt was", "-n40", "--temp=5", *arguments), greedy, arguments)

    def test_repeat_penalty(self):
        """What the model repeats when left alone it does not with a penalty; greedy choice is punished, too."""
        folder = self.folder(NOVELLA, 8)
        self.assertGreater(self.text(folder, "-pIt was", "-n60").count(" in the room"), 2)
        self.assertLess(self.text(folder, "-pIt was", "-n60", "--repeat-penalty=1.3").count(" in the room"), 2)

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


if __name__ == "__main__":
    sys.exit(unittest.main())
