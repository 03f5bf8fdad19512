# SPDX-License-Identifier: MIT
"""mkmodel: its models have the names, shapes and sizes of the real ones and the entropies asked for, the same
bytes for the same arguments, and are whole or not there; entrofs-run runs each of them from its image."""
import collections
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
MKMODEL = os.path.join(ROOT, "benchmarks", "mkmodel")
sys.path.insert(0, os.path.join(ROOT, "tests"))
import modellib
from benchlib import skip_under_sanitizers

# Written from the published models, not from the program: weights, layers, tensors below a layer, other tensors.
LLAMA_SMALL = {"self_attn.q_proj": (576, 576), "self_attn.k_proj": (192, 576), "self_attn.v_proj": (192, 576),
               "self_attn.o_proj": (576, 576), "mlp.gate_proj": (1536, 576), "mlp.up_proj": (1536, 576),
               "mlp.down_proj": (576, 1536), "input_layernorm": (576,), "post_attention_layernorm": (576,)}
LLAMA_LARGE = {"self_attn.q_proj": (2048, 2048), "self_attn.k_proj": (2048, 2048), "self_attn.v_proj": (2048, 2048),
               "self_attn.o_proj": (2048, 2048), "mlp.gate_proj": (8192, 2048), "mlp.up_proj": (8192, 2048),
               "mlp.down_proj": (2048, 8192), "input_layernorm": (2048,), "post_attention_layernorm": (2048,)}
PHI = {"self_attn.qkv_proj": (9216, 3072), "self_attn.o_proj": (3072, 3072), "mlp.gate_up_proj": (16384, 3072),
       "mlp.down_proj": (3072, 8192), "input_layernorm": (3072,), "post_attention_layernorm": (3072,)}
MISTRAL = {"self_attn.q_proj": (4096, 4096), "self_attn.k_proj": (1024, 4096), "self_attn.v_proj": (1024, 4096),
           "self_attn.o_proj": (4096, 4096), "mlp.gate_proj": (14336, 4096), "mlp.up_proj": (14336, 4096),
           "mlp.down_proj": (4096, 14336), "input_layernorm": (4096,), "post_attention_layernorm": (4096,)}
PUBLISHED = {
    "SmolLM-135M": (134_515_008, 30, LLAMA_SMALL, {"model.embed_tokens": (49152, 576), "model.norm": (576,)}),
    "SmolLM-1.7B": (1_711_376_384, 24, LLAMA_LARGE, {"model.embed_tokens": (49152, 2048), "model.norm": (2048,)}),
    "Phi-3-mini": (3_821_079_552, 32, PHI,
                   {"model.embed_tokens": (32064, 3072), "model.norm": (3072,), "lm_head": (32064, 3072)}),
    "Mistral-7B": (7_241_732_096, 32, MISTRAL,
                   {"model.embed_tokens": (32000, 4096), "model.norm": (4096,), "lm_head": (32000, 4096)}),
}
ENTROPIES = {"paper-u8": (8, 5.58), "paper-u4": (4, 1.36)}  # bits a weight, of EntroLLM's two settings

setUpModule = skip_under_sanitizers


def run(*command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=300, text=True, **options)


def mkmodel(*arguments, **options):
    return run(sys.executable, MKMODEL, *arguments, **options)


def program(name, *arguments):
    done = run(os.path.join(BUILD, name), *arguments)
    if done.returncode:
        raise AssertionError(f"{name} {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def contents(folder):
    found = {}
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = file.read()
    return found


def scratch_folder():
    """In memory where there is room: the models are large, and forced to the disk."""
    memory = "/dev/shm"
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    return tempfile.TemporaryDirectory(prefix="entrofs-mkmodel-", dir=memory if roomy else None)


class Scratch(unittest.TestCase):
    """A folder for each test, and one with two layers of the smallest model that all share."""

    common = None

    @classmethod
    def two_layers(cls):
        if not Scratch.common:
            Scratch.common = scratch_folder()
            unittest.addModuleCleanup(Scratch.common.cleanup)
            done = mkmodel("--layers=2", "SmolLM-135M", Scratch.common.name)  # empty, and so as good as none
            if done.returncode:
                raise AssertionError(done.stderr)
        return Scratch.common.name

    def setUp(self):
        self.scratch = scratch_folder()
        self.addCleanup(lambda: self.scratch.cleanup())

    def path(self, name):
        return os.path.join(self.scratch.name, name)

    def make(self, name, *arguments):
        done = mkmodel(*arguments, self.path(name))
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        return self.path(name)


class Shapes(Scratch):
    def test_published_names_shapes_and_counts(self):
        totals = dict(re.findall(r"^(\S+) +(\d+) weights", mkmodel("--list").stdout, re.M))
        self.assertEqual(list(totals), list(PUBLISHED))
        for model, (weights, layers, inside, outside) in PUBLISHED.items():
            expected = {f"{name}.weight": shape for name, shape in outside.items()}
            for layer in range(layers):
                expected.update({f"model.layers.{layer}.{name}.weight": shape for name, shape in inside.items()})
            listed = [line.split() for line in mkmodel("--list", model).stdout.splitlines()]
            got = {name: tuple(map(int, shape.split("x"))) for name, shape in listed}
            self.assertEqual(len(got), len(listed))
            self.assertEqual(got, expected)
            self.assertEqual((sum(int(np.prod(shape)) for shape in got.values()), int(totals[model])), (weights, weights))

    def test_layers(self):
        """Some layers are those of the whole model, under new numbers: their weights do not depend on the others."""
        first, last = self.two_layers(), self.make("last", "--layers=1,28-29", "SmolLM-135M")
        a, b = (modellib.read_safetensors(os.path.join(folder, "model.safetensors")) for folder in (first, last))
        layers = collections.Counter(name.split(".")[2] for name in b if "layers" in name)
        self.assertEqual(layers, {"0": 9, "1": 9, "2": 9})
        for name in PUBLISHED["SmolLM-135M"][2]:
            at, other = f"model.layers.1.{name}.weight", f"model.layers.0.{name}.weight"
            self.assertEqual(a[at].raw, b[other].raw)
            self.assertNotEqual(a[other].raw, a[at].raw)
            self.assertNotEqual(b[other].raw, b[at].raw)
        self.assertEqual(a["model.embed_tokens.weight"].raw, b["model.embed_tokens.weight"].raw)
        with open(os.path.join(last, "config.json")) as file:
            self.assertEqual(json.load(file)["num_hidden_layers"], 3)

    def test_same_arguments_same_bytes(self):
        """For any number of threads, too; another seed gives other weights."""
        one = contents(self.make("one", "--layers=2", "--jobs=1", "SmolLM-135M"))
        self.assertEqual(one, contents(self.two_layers()))
        other = contents(self.make("other", "--layers=2", "--seed=2", "SmolLM-135M"))
        self.assertEqual({name for name in one if one[name] != other[name]}, {"model.safetensors"})

    def test_distribution(self):
        """What the options say: spreads of rows, outlier columns, tails, and the largest weight."""
        def weights(name, *arguments):
            folder = self.make(name, "--layers=1", "--dtype=F32", *arguments, "SmolLM-135M")
            tensors = modellib.read_safetensors(os.path.join(folder, "model.safetensors"))
            return {key: tensor.values().reshape(tensor.shape) for key, tensor in tensors.items()}

        def spread(array):
            return np.log(array.std(axis=1)).std()

        plain = weights("plain", "--tails=0", "--spread=0", "--outliers=0", "--peak=6")
        for name, values in plain.items():
            if values.ndim == 2 and "layers" in name:
                self.assertLess(abs(np.mean((values / values.std()) ** 4) - 3), 0.1, name)
                self.assertAlmostEqual(np.abs(values).max() / values.std(), 6, delta=0.1)
                self.assertEqual(np.abs(values).max(), -values.min())
        drawn = weights("drawn", "--tails=0.5", "--spread=0.4", "--outliers=0.02")
        gate = drawn["model.layers.0.mlp.gate_proj.weight"]
        self.assertAlmostEqual(spread(drawn["model.embed_tokens.weight"]), 0.4, delta=0.06)
        self.assertLess(spread(gate), 0.2)
        columns = gate.std(axis=0) / np.median(gate.std(axis=0))
        self.assertAlmostEqual(np.mean(columns > 1.5), 0.02, delta=0.015)
        normal = gate[:, columns < 1.5] / gate[:, columns < 1.5].std(axis=1)[:, None]
        self.assertAlmostEqual(np.mean(normal ** 4), 3 * np.exp(4 * 0.5 ** 2), delta=2)


class Models(Scratch):
    def test_entropies_of_the_settings(self):
        for setting, (bits, expected) in ENTROPIES.items():
            folder, image = self.make(setting, f"--setting={setting}", "--layers=1", "SmolLM-135M"), self.path("image")
            figures = json.loads(program("mkentrofs", "--force", "--json", f"--bits={bits}", folder, image))
            quantized = [tensor for tensor in figures["tensors"] if tensor["bits"] == bits]
            weights = [np.prod(tensor["shape"], dtype=float) for tensor in quantized]
            entropy = np.average([tensor["entropy_bits"] for tensor in quantized], weights=weights)
            self.assertEqual(len(quantized), 8)
            self.assertAlmostEqual(entropy, expected, delta=0.01)

    def check_run(self, folder):
        """Packed at 8 and 4 bits, from a mount where there can be one."""
        mount = self.path("mount")
        can_mount = os.access("/dev/fuse", os.R_OK | os.W_OK) and shutil.which("fusermount3")
        os.mkdir(mount)
        for bits in (8, 4):
            image = self.path(f"image{bits}")
            program("mkentrofs", f"--bits={bits}", "--no-verify", folder, image)
            if can_mount:
                program("entrofs", image, mount)
            else:
                shutil.rmtree(mount)
                program("fsck.entrofs", f"--extract={mount}", image)
            try:
                text = program("entrofs-run", mount, "--prompt=It was", "--tokens=2")
            finally:
                if can_mount:
                    self.assertEqual(run("fusermount3", "-u", mount).returncode, 0)
            self.assertTrue(text.startswith("It was"), text)
            self.assertGreater(len(text), len("It was\n"))

    def test_smallest_model_runs_from_its_image(self):
        self.check_run(self.two_layers())

    def test_every_model_runs_from_its_image(self):
        if not os.environ.get("MKMODEL_ALL"):
            self.skipTest("minutes and gigabytes: set MKMODEL_ALL=1 to run it")
        for model in PUBLISHED:
            with self.subTest(model):
                self.check_run(self.make("model", "--layers=1", model))
                self.scratch.cleanup()
                self.scratch = scratch_folder()


class Wholeness(Scratch):
    def refuses(self, done, message, status=1):
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
        hint = "Try 'mkmodel --help' for more information.\n" if status == 2 else ""
        self.assertRegex(done.stderr, r"\Amkmodel: [^\n]*\n" + hint + r"\Z")
        self.assertIn(message, done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_usage(self):
        target = self.path("model")
        for arguments, message in (
                ([], "MODEL and FOLDER are needed"), (["SmolLM-135M"], "MODEL and FOLDER are needed"),
                (["GPT-2", target], "invalid choice: 'GPT-2'"), (["SmolLM-135M", target, "more"], "unrecognized arguments"),
                (["--list", "SmolLM-135M", target], "--list writes no folder"), (["--nonsense"], "unrecognized arguments"),
                *((["SmolLM-135M", target, f"--layers={text}"], f"'{text}' is neither a number from 1 to 30")
                  for text in ("0", "31", "-1", "", "1,1", "3-1", "0-30", "x", "1;2", "99999999", "1,", "２")),
                *((["SmolLM-135M", target, f"--{name}={text}"], "is not a number from")
                  for name in ("tails", "spread", "outliers") for text in ("nan", "inf", "-0.1", "1e9", "", "x")),
                *((["SmolLM-135M", target, f"--peak={text}"], "is not a number from") for text in ("0.5", "-3", "nan", "inf")),
                *((["SmolLM-135M", target, f"--seed={text}"], "is not a whole number") for text in ("-1", "1.5", "18446744073709551616", "")),
                *((["SmolLM-135M", target, f"--jobs={text}"], "is not a whole number") for text in ("0", "-1", "1000000000")),
                (["SmolLM-135M", target, "--dtype=U8"], "invalid choice: 'U8'"),
                (["SmolLM-135M", target, "--setting=paper"], "invalid choice: 'paper'")):
            self.refuses(mkmodel(*arguments), message, status=2)
        self.assertEqual(os.listdir(self.scratch.name), [])

    def test_help(self):
        done = mkmodel("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for option in re.findall(r"add_argument\(\"(--[a-z]+)", open(MKMODEL, encoding="utf-8").read()):
            self.assertIn(option, done.stdout)

    def test_targets(self):
        """What is there stays; an empty folder is as good as none."""
        full, file, link = self.path("full"), self.path("file"), self.path("link")
        os.mkdir(full)
        open(os.path.join(full, "x"), "w").close()
        open(file, "w").close()
        os.symlink("nowhere", link)
        for target, message in ((full, f"cannot write '{full}': it is there already"), (file, f"cannot write '{file}': it is there already"),
                                (full + "/", f"cannot write '{full}': it is there already"), (link, f"cannot write '{link}': it is there already"),
                                (self.path("no/where"), "No such file or directory"), (file + "/x", "Not a directory"), ("/", "cannot write '/'"),
                                (self.path("x" * 300), "File name too long")):
            self.refuses(mkmodel("--layers=1", "SmolLM-135M", target), message)
        self.assertEqual(sorted(os.listdir(self.scratch.name)), ["file", "full", "link"])
        self.assertEqual(sorted(os.listdir(self.two_layers())), ["config.json", "model.safetensors", "tokenizer.json"])

    def test_no_room(self):
        """Nothing is left of a model that did not fit, whether that was clear before or not."""
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (20 << 20, 20 << 20))

        target = self.path("model")
        part = r"cannot write '[^']*/\.model\.[^']*\.part/model.safetensors': File too large\n"
        done = mkmodel("--layers=1", "SmolLM-135M", target, preexec_fn=limit)
        self.refuses(done, "File too large")
        self.assertRegex(done.stderr, part)
        with open("/dev/full", "w") as full:
            done = subprocess.run([sys.executable, MKMODEL, "--list"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual((done.returncode, done.stderr), (1, "mkmodel: cannot write 'the list': No space left on device\n"))
        self.assertEqual(os.listdir(self.scratch.name), [])

    def test_full_disk(self):
        """A small file system of its own: known before, and found out while writing."""
        space = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=60m none "$0" && exec "$@"', self.scratch.name]
        if run(*space, "true").returncode:
            self.skipTest("no file system can be mounted here")
        def check(arguments, message):
            done = run(*space, "sh", "-c", '"$@"; echo "status $?"; ls -A "$0"', self.scratch.name, sys.executable, MKMODEL,
                       *arguments, "SmolLM-135M", self.path("model"))
            self.assertEqual(done.stdout, "status 1\n")
            self.assertRegex(done.stderr, rf"\Amkmodel: cannot write '[^'\n]*': {message}\n\Z")

        check(["--layers=2"], r"No space left on device \([0-9]+ bytes are needed, [0-9]+ are free\)")
        check(["--layers=2", "--dtype=F32"], r"No space left on device \([0-9]+ bytes are needed, [0-9]+ are free\)")

    def test_interrupted(self):
        for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with subprocess.Popen([sys.executable, MKMODEL, "SmolLM-135M", self.path("model")], stderr=subprocess.PIPE) as process:
                deadline = time.monotonic() + 60
                while not any(name.endswith(".part") for name in os.listdir(self.scratch.name)):
                    self.assertLess(time.monotonic(), deadline)
                    self.assertIsNone(process.poll())
                    time.sleep(0.01)
                process.send_signal(signal_number)
                self.assertEqual(process.stderr.read(), b"")
            self.assertEqual(process.returncode, 128 + signal_number)
            self.assertEqual(os.listdir(self.scratch.name), [])


if __name__ == "__main__":
    unittest.main()
