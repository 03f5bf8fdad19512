# SPDX-License-Identifier: MIT
"""GGUF files as sources: what is served in their place, which tensors are quantized, what is refused."""
import json
import os
import struct
import unittest

import numpy as np

import gguflib
import modellib
import reader
from gguflib import F32, I32, STRING, U32
from mklib import Case, read, run
from modellib import Tensor

MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../shared/models/gguf")
SET = ("general.alignment", "general.file_type", "general.quantization_version")


def weights(dtype, shape, seed, offset=0.0):
    return Tensor.of(dtype, np.random.default_rng(seed).standard_normal(shape) * 0.05 + offset)


def tensors():
    """Each float type, shapes of 1 to 3 dimensions, what is kept for its shape, rows, type and name."""
    return {
        "token_embd.weight": weights("F16", [40, 64], 1),
        "blk.0.attn_norm.weight": weights("F32", [64], 2),
        "blk.0.attn_q.weight": weights("BF16", [64, 64], 3),
        "blk.0.attn_q_norm.weight": weights("F32", [2, 32], 4),
        "blk.0.ffn_up_exps.weight": weights("F32", [4, 12, 32], 5, 0.03),
        "blk.0.ffn_up_exps.bias": weights("F32", [4, 32], 6),
        "blk.0.ffn_gate_inp.weight": weights("F32", [4, 64], 7),
        "blk.0.ssm_conv1d.weight": weights("F32", [128, 4], 8),
        "blk.0.positive.weight": Tensor.of("F16", np.abs(weights("F16", [32, 160], 9).values()).reshape(32, 160)),
        "blk.0.negative.weight": Tensor.of("F32", -1 - np.arange(320).reshape(10, 32) / 320),
        "blk.0.constant.weight": Tensor.of("BF16", np.full((4, 32), -0.3)),
        "blk.0.zero.weight": Tensor.of("F32", np.zeros((4, 32))),
        "blk.0.row.weight": weights("F16", [1, 64], 10),
        "blk.0.double.weight": weights("F64", [8, 32], 11),
        "blk.0.odd.weight": weights("F16", [7, 33], 12),
        "rope_freqs.weight": weights("F32", [16], 13),
        "ids": Tensor.of("I32", np.arange(64).reshape(2, 32)),
        "empty.weight": Tensor("F32", [0, 32], b""),
        "output.weight": weights("F16", [40, 64], 14, 0.02),
    }


REASONS = {"default": {"token_embd.weight", "blk.0.attn_q.weight", "blk.0.ffn_up_exps.weight", "blk.0.positive.weight",
                       "blk.0.negative.weight", "blk.0.constant.weight", "blk.0.zero.weight", "blk.0.double.weight",
                       "output.weight"},
           "name": {"blk.0.attn_q_norm.weight", "blk.0.ffn_up_exps.bias", "blk.0.ffn_gate_inp.weight"},
           "row": {"blk.0.ssm_conv1d.weight", "blk.0.odd.weight"},
           "shape": {"blk.0.attn_norm.weight", "blk.0.row.weight", "rope_freqs.weight", "empty.weight"},
           "dtype": {"ids"}}


class Gguf(Case):
    def source(self, data, name="model.gguf"):
        with open(os.path.join(self.model, name), "wb") as file:
            file.write(data)
        return data

    def figures(self, *options, **where):
        done = json.loads(self.pack("--force", "--json", *options, **where).stdout)
        return done, {entry["name"]: entry for entry in done["tensors"]}

    def codes(self, root, entry):
        codes = np.frombuffer(read(root, "quantized", entry["file"]), np.uint8)
        return np.stack([codes & 15, codes >> 4], axis=-1).reshape(-1) if entry["bits"] == 4 else codes

    def check_file(self, root, name, types):
        """Everything that a served file has to be, given its source."""
        source = gguflib.Read(read(self.model, name), contiguous=False)
        served = gguflib.Read(read(root, name))
        self.assertEqual(served.alignment, 4096)
        kept = [pair for pair in source.pairs if pair[0] not in SET]
        self.assertEqual([pair for pair in served.pairs if pair[0] not in SET], kept)
        # What the source has stays where it was, what it has not comes last.
        keys = [key for key, _ in served.pairs]
        self.assertEqual(keys[:len(source.pairs)], [key for key, _ in source.pairs])
        self.assertLessEqual(set(keys[len(source.pairs):]), set(SET))
        manifest, exact = self.manifest(root), 0
        self.assertEqual([tensor[:2] for tensor in served.tensors], [tensor[:2] for tensor in source.tensors])
        for (tensor, shape, kind, data), (_, _, old, raw) in zip(served.tensors, source.tensors):
            entry = manifest[tensor]
            self.assertEqual(entry["shape"], shape)
            if entry["bits"] is None:
                self.assertEqual((kind, data), (old, raw), tensor)
                continue
            self.assertEqual(kind, types[tensor])
            exact += self.check_numbers(root, tensor, entry, kind, data)
        return served, exact

    def check_numbers(self, root, name, entry, kind, data):
        """Each element is the exact product of scale and difference."""
        scale = float(np.float32(entry["scale"]))
        expected = scale * (self.codes(root, entry).astype(np.float64) - entry["zero_point"])
        found = gguflib.numbers(kind, data).astype(np.float64)
        self.assertTrue(np.array_equal(found, expected), name)
        return len(found)

    def setting(self, served, key):
        raw = served.values.get(key)
        if raw is None:
            return None
        self.assertEqual(struct.unpack("<I", raw[-8:-4])[0], U32)
        return struct.unpack("<I", raw[-4:])[0]

    def check_model(self, bits, file_type):
        figures, entries = self.figures(f"--bits={bits}")
        root = self.extract()
        types = {name: entry["ggml_type"] for name, entry in entries.items()}
        served, exact = self.check_file(root, "model.gguf", types)
        self.assertEqual(exact, figures["quantized_weights"])
        self.assertEqual(self.setting(served, "general.quantization_version"), 2)
        self.assertEqual(self.setting(served, "general.file_type"), file_type)
        image = reader.open_image(self.image)
        for node in image.files():
            self.assertTrue(b"".join(image.read_file(node)) == read(root, os.fsdecode(node.path)), node.path)
        return entries

    def test_eight_bits(self):
        self.source(gguflib.build(tensors()))
        entries = self.check_model(8, 7)
        for reason, names in REASONS.items():
            self.assertEqual({name for name, entry in entries.items() if entry["reason"] == reason}, names)
        self.assertEqual({entry["ggml_type"] for entry in entries.values() if entry["bits"]}, {"Q8_0"})
        self.assertEqual({entry["zero_point"] for entry in entries.values() if entry["bits"]}, {128})

    def test_four_bits(self):
        self.source(gguflib.build(tensors(), gguflib.model_pairs(
            ("general.file_type", I32, 1), ("general.alignment", U32, 64), ("general.quantization_version", U32, 1)),
            alignment=64))
        entries = self.check_model(4, 3)  # most weights are those of one-sided tensors
        kinds = {name: entry["ggml_type"] for name, entry in entries.items() if entry["bits"]}
        self.assertEqual(set(kinds), REASONS["default"])
        self.assertEqual(set(kinds.values()), {"Q4_0", "Q4_1"})
        for one_sided in "blk.0.positive.weight", "blk.0.negative.weight":
            self.assertEqual(kinds[one_sided], "Q4_1")
        self.assertEqual(kinds["blk.0.zero.weight"], "Q4_0")  # of equals the smaller

    def test_choice_and_cost(self):
        """The figures are those of the codes, and of what would be chosen freely; the type with less noise is taken."""
        source = tensors()
        self.source(gguflib.build(source))
        for bits in 8, 4:
            _, entries = self.figures(f"--bits={bits}")
            root = self.extract()
            for name, entry in self.manifest(root).items():
                figures = entries[name]
                if not entry["bits"]:
                    self.assertEqual((figures["ggml_type"], figures["free_sqnr_db"]), (None, None))
                    continue
                values = source[name].values()
                _, scale, zero, codes = modellib.quantize(values, bits)
                free = values - float(scale) * (codes.astype(np.float64) - zero)
                made = values - float(np.float32(entry["scale"])) * (
                    self.codes(root, entry).astype(np.float64) - entry["zero_point"])
                for error, sqnr in (free, figures["free_sqnr_db"]), (made, figures["sqnr_db"]):
                    noise, signal = float((error ** 2).sum()), float((values ** 2).sum())
                    if noise:
                        self.assertAlmostEqual(10 * np.log10(signal / noise), sqnr, delta=0.005)
                    else:
                        self.assertIsNone(sqnr)
                if figures["free_sqnr_db"] and np.ptp(values) and values.min() < 0 < values.max():
                    self.assertGreater(figures["sqnr_db"], figures["free_sqnr_db"] - 1.5, name)

    def test_total_line(self):
        self.source(gguflib.build(tensors()))
        self.assertRegex(self.pack("--bits=4").stdout, r"\n  as blocks: \d Q4_0, \d Q4_1; SQNR \d+\.\d\d dB, "
                         r"with other scales and zero points \d+\.\d\d dB\n")
        self.assertRegex(self.pack("--force").stdout, r"\n  as blocks: 9 Q8_0; SQNR ")
        self.assertNotIn("as blocks", self.pack("--force", "--view=quantized").stdout)

    def test_rules(self):
        """--keep and --bits-for go by names, and may override what goes by names; not what cannot be."""
        self.source(gguflib.build(tensors()))
        done = self.pack("--bits=4", "--bits-for=^output=8", "--keep=attn_q.weight", "--bits-for=ffn_gate_inp=8",
                         "--bits-for=odd=8", "--json")
        self.assertRegex(done.stderr, "^mkentrofs: --bits-for 'odd=8' is of no use: what it matches is kept anyway")
        entries = {entry["name"]: entry for entry in json.loads(done.stdout)["tensors"]}
        self.assertEqual({name: entries[name]["ggml_type"] for name in (
            "output.weight", "blk.0.attn_q.weight", "blk.0.ffn_gate_inp.weight", "blk.0.odd.weight")},
            {"output.weight": "Q8_0", "blk.0.attn_q.weight": None, "blk.0.ffn_gate_inp.weight": "Q8_0",
             "blk.0.odd.weight": None})
        self.check_file(self.extract(), "model.gguf", {name: entry["ggml_type"] for name, entry in entries.items()})

    def test_file_types(self):
        """The type that most weights have; without blocks no version of them."""
        for dtype, value in ("F32", 0), ("F16", 1), ("BF16", 32):
            self.source(gguflib.build({"a.weight": weights(dtype, [64, 64], 1), "b": weights("F32", [64], 2)}))
            self.pack("--force", "--keep=.")
            served, _ = self.check_file(self.extract(), "model.gguf", {})
            self.assertEqual(self.setting(served, "general.file_type"), value)
            self.assertIsNone(self.setting(served, "general.quantization_version"))
        self.source(gguflib.build({"a": Tensor.of("I8", np.zeros((64, 64)))}, [("general.file_type", STRING, "x")]))
        self.pack("--force")
        self.check_file(self.extract(), "model.gguf", {})  # the text stays

    def test_order(self):
        """Data in another order than the infos, with gaps, is served without them, in the order of the infos."""
        source = tensors()
        data = gguflib.build(source, gguflib.model_pairs(("general.alignment", U32, 256)), alignment=256,
                             order=sorted(source))
        self.source(data)
        _, entries = self.figures()
        self.check_file(self.extract(), "model.gguf", {name: entry["ggml_type"] for name, entry in entries.items()})
        self.assertEqual([name for name in entries if source[name].raw],
                         [name for name in sorted(source) if source[name].raw])

    def test_small_and_large(self):
        """Scales that F16 has no number for: rounded up among its smallest, or the tensor is kept."""
        sizes = {"1e-9": None, "3e-6": None, "4e-6": "Q8_0", "3e-5": "Q8_0", "1e-3": "Q8_0", "8e6": "Q8_0", "9e6": None}
        uniform = np.random.default_rng(1).uniform(-1, 1, (64, 64))
        uniform[0, :2] = -1, 1
        source = {f"{size}.weight": Tensor.of("F32", uniform * float(size)) for size in sizes}
        self.source(gguflib.build(source))
        _, entries = self.figures()
        self.assertEqual({name: entry["ggml_type"] for name, entry in entries.items()},
                         {f"{size}.weight": kind for size, kind in sizes.items()})
        self.assertEqual({entry["reason"] for entry in entries.values() if not entry["bits"]}, {"range"})
        self.check_file(self.extract(), "model.gguf", {name: entry["ggml_type"] for name, entry in entries.items()})
        self.assertRegex(run("--dry-run", self.model).stdout, r"1e-9.weight  \(no F16 scale covers its range\)")

    def names(self, *options, source=None):
        self.pack("--force", *options, source=source)
        root = self.extract()
        return sorted(os.path.relpath(os.path.join(folder, name), root)
                      for folder, _, names in os.walk(root) for name in names if "/tensors" not in folder)

    def test_views(self):
        self.source(gguflib.build(tensors()), "a model.gguf")
        manifest, quantized = "quantized/manifest.json", "quantized/model.safetensors"
        self.assertEqual(self.names(), ["a model.gguf", manifest, quantized])
        self.assertEqual(self.names(source=os.path.join(self.model, "a model.gguf")),
                         ["a model.gguf", manifest, quantized])
        self.assertEqual(self.names("--view=gguf"), ["a model.gguf", manifest])
        self.assertEqual(self.names("--view=quantized"), [manifest, quantized])
        # Not asked for blocks, rows and names decide nothing, and no parameter is snapped.
        _, entries = self.figures("--view=quantized")
        self.assertEqual(entries["blk.0.odd.weight"]["bits"], 8)
        self.assertEqual({entry["ggml_type"] for entry in entries.values()}, {None})
        self.fails("^mkentrofs: cannot pack '.*': --view model is for .safetensors files; a GGUF file is served by "
                   "--view gguf\n$", "--force", "--view=model", left=["model.efs"])
        os.unlink(os.path.join(self.model, "a model.gguf"))
        self.write({"w": weights("F32", [64, 64], 1)})
        self.fails("^mkentrofs: cannot pack '.*': --view gguf needs a model that is a GGUF file: its metadata and "
                   "tokenizer cannot be made up\n$", "--force", "--view=gguf,quantized", left=["model.efs"])

    def test_folders(self):
        """The only GGUF file of a folder without safetensors; the rest of the folder comes along."""
        self.source(gguflib.build(tensors()))
        self.source(b"{}", "config.json")
        self.assertIn("config.json", self.names())
        self.source(gguflib.build(tensors()), "other.gguf")
        self.fails("^mkentrofs: cannot read '.*': several .gguf files; name one of them\n$", "--force", left=["model.efs"])
        self.write({"w": weights("F32", [64, 64], 1)})
        done = self.pack("--force")
        self.assertEqual(done.stderr.count("not the weights chosen"), 2)
        # A file without an ending is known by how it begins.
        self.source(gguflib.build(tensors()), "weights")
        self.pack("--force", source=os.path.join(self.model, "weights"))

    def test_dry_run(self):
        """It comes to what packing comes to: the tensors are small."""
        self.source(gguflib.build(tensors()))
        for bits in 8, 4:
            packed, _ = self.figures(f"--bits={bits}")
            rehearsed = json.loads(run("--dry-run", "--json", f"--bits={bits}", self.model).stdout)
            self.assertEqual(packed["image_bytes"], rehearsed["image_bytes"])
            self.assertEqual([(entry["ggml_type"], entry["sqnr_db"], entry["free_sqnr_db"]) for entry in packed["tensors"]],
                             [(entry["ggml_type"], entry["sqnr_db"], entry["free_sqnr_db"])
                              for entry in rehearsed["tensors"]])

    def test_jobs(self):
        """The image does not depend on the number of threads, where several share a tensor."""
        self.source(gguflib.build({"w.weight": weights("F16", [1024, 1024], 1, 0.01), "v.weight": weights("F16", [64, 64], 2)}))
        digests = {self.figures("--bits=4", f"--jobs={jobs}")[0]["digest"] for jobs in (1, 2, 7)}
        self.assertEqual(len(digests), 1)

    def test_refused(self):
        """One line that names the file and what is wrong."""
        source = tensors()
        good = gguflib.build(source)
        q4_k = gguflib.build({"big.weight": Tensor("F32", [1, 256], bytes(1024))}, types={"big.weight": 12})
        q8_0 = gguflib.build({"big.weight": Tensor("F32", [1, 32], bytes(128))}, types={"big.weight": 8})
        huge = Tensor("F32", [1 << 40, 1 << 40], bytes(64))
        bad = {
            "quantized already": (q4_k, r"tensor 'big.weight' is quantized already, to Q4_K \(mkentrofs --lossless packs"),
            "quantized, too": (q8_0, "is quantized already, to Q8_0"),
            "nothing": (b"", "."),
            "a page": (b"<html>", "not a GGUF file"),
            "cut in the header": (good[:1000], "truncated"),
            "cut in the data": (good[:-3000], "truncated"),
            "version 2": (gguflib.build(source, version=2), "version"),
            "no tensors": (gguflib.build({}), "it has no tensors"),
            "a part": (gguflib.build(source, gguflib.model_pairs(("split.count", U32, 3))), "one of 3 parts of a model"),
            "no type": (gguflib.build(source, types={"ids": 99}), "type"),
            "too many elements": (gguflib.build({"x": huge}), "tensor 'x'"),
            "an odd alignment": (gguflib.build(source, [("general.alignment", U32, 48)]), "alignment"),
            "a long name": (gguflib.build({"n" * 5000: weights("F32", [2, 2], 1)}), "."),
            "a long name, quantized": (gguflib.build({"n" * 4000: Tensor("F32", [1, 32], bytes(128))},
                                                     types={"n" * 4000: 8}), "to Q8_0"),
            "many pairs": (b"GGUF" + struct.pack("<IQQ", 3, 1, 1 << 60) + bytes(99), "."),
            "many tensors": (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0) + bytes(99), "."),
        }
        path = os.path.join(self.model, "model.gguf")
        for what, (data, message) in bad.items():
            self.source(data)
            for source_path in self.model, path:
                with self.subTest(what, source=source_path):
                    self.fails(rf"\Amkentrofs: cannot (read|pack) '[^']*model.gguf': [^\n]*{message}[^\n]*\n\Z",
                               source=source_path)
        nan = weights("F32", [64, 64], 1)
        nan.raw = nan.raw[:400] + struct.pack("<f", float("nan")) + nan.raw[404:]
        self.source(gguflib.build({"w.weight": nan}))
        self.fails(r"tensor 'w.weight' has a NaN or infinite value at index 100 \(see --keep\)")

    def test_every_byte(self):
        """A header with any byte changed makes a line and no image, or an image that is right."""
        source = {"a.weight": weights("F16", [4, 32], 1), "b": weights("F32", [5], 2)}
        good = gguflib.build(source, [("general.architecture", STRING, "llama"), ("x", gguflib.ARRAY, (U32, [1, 2]))])
        packed = 0
        for at in range(0, good.index(b"b", 100) + 30, 3):
            data = bytearray(good)
            data[at] ^= 1 << at % 8
            self.source(bytes(data))
            done = run("--force", "--no-verify", self.model, self.image)
            self.assertIn(done.returncode, (0, 1), (at, done.stderr))
            self.assertEqual(done.stderr.count("\n"), done.returncode, (at, done.stderr))
            packed += done.returncode == 0
        self.assertGreater(packed, 5)

    def test_real_models(self):
        """Files that llama.cpp's converter made, if they are at hand."""
        found = [(name, bits) for name, bits in (("novella-7m-f16.gguf", 4), ("stories260k-f32.gguf", 8))
                 if os.path.exists(os.path.join(MODELS, name))]
        if not found:
            self.skipTest("no GGUF files beside this repository")
        for name, bits in found:
            os.symlink(os.path.join(MODELS, name), os.path.join(self.model, name))
            with self.subTest(name, bits=bits):
                figures, entries = self.figures(f"--bits={bits}", source=os.path.join(self.model, name))
                types = {tensor: entry["ggml_type"] for tensor, entry in entries.items()}
                served, exact = self.check_file(self.extract(), name, types)
                self.assertEqual(exact, figures["quantized_weights"])
                self.assertEqual(self.setting(served, "general.file_type"), 7 if bits == 8 else 2)


if __name__ == "__main__":
    unittest.main()
