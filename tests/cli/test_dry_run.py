# SPDX-License-Identifier: MIT
"""mkentrofs --dry-run: the plan, the estimated size against that of the real image, failures as in packing, and
that nothing is written. And --json, of both, against the table of the man page."""
import json
import os
import re
import shutil
import subprocess
import unittest

import numpy as np

import modellib
from mklib import PROGRAM, Case, read, run, why_no_namespace
from modellib import Tensor
from schema import check_schema, schema

NOVELLA = os.path.join(os.path.dirname(__file__), "../../runtime-demo/model")
EXACT = ("name", "dtype", "shape", "weights", "bits", "scheme", "scale", "zero_point", "reason", "rule",
         "source_bytes", "plain_bytes")


class DryCase(Case):
    def dry(self, *options, source=None, target=()):
        """The object that a dry run prints."""
        done = run("--dry-run", "--json", *options, source or self.model, *target)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def compare(self, *options, source=None, tolerance=0.02):
        """Estimate and truth: the same plan, and nearly the same sizes."""
        estimate = self.dry(*options, source=source)
        truth = json.loads(self.pack("--force", "--no-verify", "--json", *options, source=source).stdout)
        self.assertEqual(truth["image_bytes"], os.path.getsize(self.image))
        self.assertEqual(sum(estimate["stored"].values()), estimate["image_bytes"])
        self.assertLessEqual(abs(estimate["image_bytes"] - truth["image_bytes"]),
                             max(tolerance * truth["image_bytes"], 1024))
        for mine, other in zip(estimate["tensors"], truth["tensors"], strict=True):
            self.assertEqual([mine[key] for key in EXACT], [other[key] for key in EXACT])
            if other["stored_bytes"] > 1 << 16:
                self.assertAlmostEqual(mine["stored_bytes"] / other["stored_bytes"], 1, delta=0.04,
                                       msg=mine["name"])
                self.assertAlmostEqual(mine["entropy_bits"], other["entropy_bits"], delta=0.3)
            if other["sqnr_db"] and other["weights"] > 1 << 14:
                self.assertAlmostEqual(mine["sqnr_db"], other["sqnr_db"], delta=1.5, msg=mine["name"])
        for key in "source_bytes", "plain_bytes", "weights", "quantized_weights", "model":
            self.assertEqual(estimate[key], truth[key])
        self.assertEqual((estimate["dry_run"], truth["dry_run"]), (True, False))
        return estimate, truth


class Estimate(DryCase):
    def test_bundled_model(self):
        """Real weights, within 2 %, with all kinds of options."""
        for options in ([], ["--bits=4"], ["--keep=embed"], ["--bits=4", "--bits-for=mlp=8", "--keep=q_proj"],
                        ["--keep=."]):
            with self.subTest(options):
                self.compare(*options, source=NOVELLA)

    def test_large_tensors(self):
        """Of which a thousandth or so is looked at: even and uneven ones, and blocks of one value."""
        random = np.random.default_rng(11)
        rows, columns = 4096, 4096
        even = random.standard_normal((rows, columns), np.float32) * np.float32(0.02)
        widths = np.linspace(1, 3, rows, dtype=np.float32)[:, None]
        half = even.copy()
        half[rows // 2:] = 0
        self.write({"even": Tensor.of("BF16", even), "uneven": Tensor.of("BF16", even * widths),
                    "half": Tensor.of("BF16", half), "bytes": Tensor.of("U8", random.integers(0, 50, 1 << 24)),
                    "constant": Tensor.of("F16", np.full((2048, 2048), 0.5))})
        for options in [], ["--bits=4"]:
            with self.subTest(options):
                self.compare(*options, tolerance=0.03)

    def test_an_outlier(self):
        """A single weight that is in no sample decides about the codes of all."""
        values = np.random.default_rng(12).standard_normal((2048, 2048)).astype(np.float32)
        values[1234, 567] = 100
        self.write({"w": Tensor.of("F32", values)})
        estimate, _ = self.compare()
        self.assertLess(estimate["tensors"][0]["entropy_bits"], 4)

    def test_varied_models(self):
        """Every dtype and scheme, odd shapes, empty tensors, sidecars; a model of next to nothing."""
        modellib.write_model(self.model, modellib.varied_tensors())
        for options in [], ["--bits=4"]:
            self.compare(*options)
        wide = Tensor.of("F64", np.array([[1e300, -1e300], [0.0, 1.0]]))
        shutil.rmtree(self.model)
        os.makedirs(self.model)
        self.write({"wide": wide})
        estimate, _ = self.compare()
        self.assertEqual(estimate["tensors"][0]["reason"], "range")

    def test_sidecars(self):
        """Of a large one a part is compressed, of a small one all."""
        random = np.random.default_rng(13)
        self.write({"w": Tensor.of("F32", np.eye(64))})
        words = {f"{random.integers(1 << 40):x}": i for i in range(150_000)}
        with open(os.path.join(self.model, "tokenizer.json"), "w", encoding="ascii") as file:
            json.dump({"model": {"vocab": words}}, file)
        with open(os.path.join(self.model, "config.json"), "w", encoding="ascii") as file:
            json.dump({"hidden_size": 64}, file)
        estimate, truth = self.compare(tolerance=0.03)
        sizes = [{file["path"]: file["stored_bytes"] for file in shown["files"]} for shown in (estimate, truth)]
        self.assertEqual(sizes[0]["config.json"], sizes[1]["config.json"])
        self.assertGreater(sizes[1]["tokenizer.json"], 500_000)

    def test_the_number_of_threads_does_not_show(self):
        modellib.write_model(self.model, modellib.varied_tensors())
        shown = [self.dry("--bits=4", f"--jobs={jobs}") for jobs in (1, 2, 5)]
        for figures in shown:
            figures.pop("seconds")
        self.assertEqual(shown[0], shown[1])
        self.assertEqual(shown[0], shown[2])

    def test_single_files_and_shards(self):
        tensors = {"a": Tensor.of("F32", np.eye(100)), "b": Tensor.of("F16", np.eye(200))}
        self.write({"a": tensors["a"]}, "1.safetensors")
        self.write({"b": tensors["b"]}, "2.safetensors")
        with open(os.path.join(self.model, "model.safetensors.index.json"), "w", encoding="ascii") as file:
            json.dump({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}, file)
        self.compare()
        self.compare(source=os.path.join(self.model, "1.safetensors"))


class Plan(DryCase):
    def setUp(self):
        super().setUp()
        self.write({"a.weight": Tensor.of("F32", np.eye(40)), "b.weight": Tensor.of("BF16", np.eye(40)),
                    "c\x1b.weight": Tensor.of("F64", np.array([[1e300, 0.0]])), "c.bias": Tensor.of("F32", np.ones(3)),
                    "scalar": Tensor.of("F16", np.float16(1)), "none": Tensor.of("F32", np.zeros((0, 3))),
                    "deep": Tensor.of("F32", np.ones([1] * 20 + [2, 3])), "ids": Tensor.of("I64", np.eye(3))})

    def test_what_and_why(self):
        done = run("-n", "--keep=^b", "--bits-for=^deep=4", self.model)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        plan = {}
        for line in done.stdout.split("\n\n")[0].splitlines()[1:]:
            kept, dtype, shape, _, _, _, rest = line.split(maxsplit=6)
            name, _, why = rest.partition("  ")
            plan[name] = kept, dtype, shape, why
        self.assertEqual(plan, {
            "a.weight": ("u8", "F32", "40x40", ""),
            "b.weight": ("kept", "BF16", "40x40", "(--keep '^b')"),
            "c\ufffd.weight": ("kept", "F64", "1x2", "(no F32 scale covers its range)"),
            "c.bias": ("kept", "F32", "3", "(fewer than two dimensions)"),
            "scalar": ("kept", "F16", "scalar", "(fewer than two dimensions)"),
            "none": ("kept", "F32", "0x3", "(no elements)"),
            "deep": ("u4", "F32", "1x1x1x1x1x1x1x1x1...", "(--bits-for '^deep=4')"),
            "ids": ("kept", "I64", "3x3", "(not of floats that are quantized)")})
        self.assertRegex(done.stdout, r"\n  image, estimated +[0-9.]+ KiB +\d+ B +\d+\.\d %\n")
        self.assertTrue(done.stdout.endswith("; nothing was written\n"))

    def test_json(self):
        reasons = {tensor["name"]: (tensor["reason"], tensor["rule"])
                   for tensor in self.dry("--keep=^b", "--bits-for=^deep=4")["tensors"]}
        self.assertEqual(reasons, {
            "a.weight": ("default", None), "b.weight": ("rule", "--keep=^b"), "c\x1b.weight": ("range", None),
            "c.bias": ("shape", None), "scalar": ("shape", None), "none": ("shape", None),
            "deep": ("rule", "--bits-for=^deep=4"), "ids": ("dtype", None)})

    def test_json_is_as_documented(self):
        """Every key of the man page's table, of its type, and no other; names that are no UTF-8."""
        table = schema("mkentrofs.1")
        with open(os.path.join(os.fsencode(self.model), b"caf\xe9.txt"), "wb") as file:
            file.write(b"x")
        for options in [], ["--bits=4", "--keep=a"], ["--keep=."]:
            for target in [], [os.fsencode(self.path("out/\u00fc")) + b"\xff"]:
                done = subprocess.run([PROGRAM, "-n", "--json", *options, self.model, *target],
                                      stdout=subprocess.PIPE, check=True)
                shown = json.loads(done.stdout)
                check_schema(self, table, shown)
                self.assertEqual(shown["digest"], None)
                self.assertEqual(shown["image"], self.path("out/\u00fc\ufffd") if target else None)
                self.assertIn("caf\ufffd.txt", [file["path"] for file in shown["files"]])
            shown = json.loads(self.pack("--force", "--json", *options).stdout)
            check_schema(self, table, shown)
            self.assertEqual(len(shown["digest"]), 64)
            self.assertEqual(sum(shown["stored"].values()), shown["image_bytes"])


class Failures(DryCase):
    def alike(self, *options, status=1):
        """A dry run fails with the line and the status of packing."""
        outcomes = []
        for dry in ["--dry-run"], []:
            done = run(*dry, *options, self.model, self.image)
            self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
            outcomes.append(done.stderr)
        self.assertEqual(outcomes[0], outcomes[1])
        return outcomes[0]

    def test_values_that_are_not_finite(self):
        """The first tensor that has one is named, though others are looked at beside it."""
        good = np.ones((2000, 1000), np.float32) * np.arange(1000, dtype=np.float32)
        bad, worse = good.copy(), good.copy()
        bad[1999, 999], worse[0, 3] = np.nan, np.inf
        for order in ("good", "bad", "worse"), ("good", "worse", "bad"):
            self.write({name: Tensor.of("F32", {"good": good, "bad": bad, "worse": worse}[name]) for name in order})
            for jobs in 1, 4:
                said = self.alike(f"--jobs={jobs}")
                self.assertIn(f"tensor '{order[1]}' has a NaN or infinite value at index", said)
        self.dry("--keep=bad|worse")

    def test_sources_and_targets(self):
        self.assertIn("no .safetensors or .gguf file", self.alike())
        self.write({"w": Tensor.of("F32", np.eye(3)), "w.scale": Tensor.of("F32", np.ones(1))})
        self.assertIn("'w.scale'", self.alike())
        self.write({"w": Tensor.of("F32", np.eye(3))})
        self.pack()
        image = read(self.image)
        self.assertIn("it exists (--force replaces it)", self.alike())
        self.dry("--force", target=[self.image])
        self.dry()
        self.assertEqual(read(self.image), image)
        for target, said in ((self.path("out/missing/x"), "No such file"), (self.path("out"), "it is a folder"),
                             (os.path.join(self.model, "model.safetensors"), "it is a file of the model"),
                             ("/dev/null", "not a regular file")):
            self.image = target
            self.assertIn(said, self.alike("--force"))
        self.image = "-"
        self.assertIn("standard output", self.alike(status=2))

    def test_usage(self):
        for arguments in ["-n"], ["-n", "a", "b", "c"]:
            self.assertEqual(run(*arguments).returncode, 2)

    def test_output_that_cannot_be_written(self):
        self.write({"w": Tensor.of("F32", np.eye(3))})
        for options in [], ["--json"]:
            with open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run([PROGRAM, "-n", *options, self.model], stdout=full, stderr=subprocess.PIPE,
                                      text=True, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, "^mkentrofs: cannot write 'standard output': No space left.*\n$")

    def test_a_disk_that_is_too_small(self):
        """The plan is printed, and then that the image would find no room."""
        reason = why_no_namespace()
        if reason:
            self.skipTest(reason)
        self.write_large()
        script = 'mount -t tmpfs -o size=1m none "$1" || exit 99; shift; exec "$@"'
        done = subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", self.path("out"), PROGRAM, "-n", self.model,
                               self.image], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("image, estimated", done.stdout)
        self.assertRegex(done.stderr, "^mkentrofs: cannot create '.*': No space left on device: about .* MiB are "
                                      "needed, 1.0 MiB are left\n$")


class NothingIsWritten(DryCase):
    def test_nothing_is_written(self):
        """Not a byte to any file, and no name is made: with a limit of file size of 0, in folders of nobody."""
        modellib.write_model(self.model, modellib.varied_tensors())
        with open(self.image, "w", encoding="ascii") as file:
            file.write("precious")
        before = {path: os.stat(path).st_mtime_ns for path in (self.model, self.path("out"), self.folder, self.image)}
        for options in [], ["--json"], ["--verbose", "--bits=4"]:
            done = subprocess.run(["prlimit", "--fsize=0", PROGRAM, "--dry-run", "--force", *options, self.model,
                                   self.image], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(before, {path: os.stat(path).st_mtime_ns for path in before})
        self.assertEqual((os.listdir(self.path("out")), read(self.image)), (["model.efs"], b"precious"))


if __name__ == "__main__":
    unittest.main()
