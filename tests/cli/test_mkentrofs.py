# SPDX-License-Identifier: MIT
"""mkentrofs: what is in an image, against an independent quantizer; sources; options; errors."""
import hashlib
import json
import os
import re
import struct
import unittest

import numpy as np

import modellib
from mklib import Case, read, run
from modellib import Tensor

NOVELLA = os.path.join(os.path.dirname(__file__), "../../runtime-demo/model")
ELEMENT = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "U8": 1, "BOOL": 1}


class Contents(Case):
    """Everything in the tree, byte for byte."""

    def check_manifest(self, root, tensors, bits):
        manifest = self.manifest(root)
        self.assertEqual(list(manifest), list(tensors))
        for name, tensor in tensors.items():
            entry = manifest[name]
            data = read(root, "quantized", entry["file"])
            self.assertEqual(data, modellib.expected_bytes(tensor, bits), name)
            self.assertEqual(entry["sha256"], hashlib.sha256(data).hexdigest())
            self.assertEqual((entry["dtype"], entry["shape"]), (tensor.dtype, tensor.shape))
            counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
            share = counts[counts > 0] / max(1, len(data))
            entropy = -(share * np.log2(share)).sum()
            if tensor.is_quantized():
                scheme, scale, zero, _ = modellib.quantize(tensor.values(), bits)
                self.assertEqual((entry["bits"], entry["scheme"], entry["zero_point"]),
                                 (bits, scheme, zero))
                self.assertEqual(np.float32(entry["scale"]), scale)
                self.assertAlmostEqual(entry["entropy_bits"], entropy * bits / 8, places=2)
            else:
                self.assertEqual([entry[key] for key in ("bits", "scheme", "scale", "zero_point")],
                                 [None] * 4)
                self.assertAlmostEqual(entry["entropy_bits"], entropy * ELEMENT[tensor.dtype],
                                       delta=0.02)

    def check_safetensors(self, root, tensors, bits):
        path = os.path.join(root, "quantized/model.safetensors")
        data = read(path)
        size, = struct.unpack_from("<Q", data)
        self.assertEqual((size + 8) % 4096, 0)
        view = modellib.read_safetensors(path)
        order = [(-ELEMENT[tensor.dtype], name.encode()) for name, tensor in view.items()
                 if tensor.raw]
        self.assertEqual(order, sorted(order))
        parameters = json.loads(json.loads(data[8:8 + size])["__metadata__"]["entrofs"])["tensors"]
        for name, tensor in tensors.items():
            seen = view.pop(name)
            self.assertEqual(seen.raw, modellib.expected_bytes(tensor, bits), name)
            if not tensor.is_quantized():
                self.assertEqual((seen.dtype, seen.shape), (tensor.dtype, tensor.shape))
                continue
            shape = list(tensor.shape)
            if bits == 4:
                shape = shape[:-1] + [shape[-1] // 2] if shape[-1] % 2 == 0 else [len(seen.raw)]
                self.assertEqual(parameters[name]["shape"], tensor.shape)
            self.assertEqual((seen.dtype, seen.shape), ("U8", shape))
            scheme, scale, zero, _ = modellib.quantize(tensor.values(), bits)
            self.assertEqual(view.pop(name + ".scale").raw, struct.pack("<f", scale))
            self.assertEqual(view.pop(name + ".zero_point").raw, struct.pack("<i", zero))
            entry = parameters[name]
            self.assertEqual((entry["bits"], entry["scheme"], entry["zero_point"]),
                             (bits, scheme, zero))
            self.assertEqual(np.float32(entry["scale"]), scale)
        self.assertEqual(view, {})

    def check(self, bits):
        tensors = modellib.varied_tensors()
        modellib.write_model(self.model, tensors)
        self.pack(f"--bits={bits}")
        root = self.extract()
        self.check_manifest(root, tensors, bits)
        self.check_safetensors(root, tensors, bits)
        for name in ("config.json", "tokenizer.json"):
            self.assertEqual(read(root, name), read(self.model, name))
        self.assertEqual(sorted(os.listdir(root)), ["config.json", "model.safetensors", "quantized", "tokenizer.json"])
        names = os.listdir(os.path.join(root, "quantized/tensors"))
        self.assertEqual(len(names), len(tensors))
        self.assertIn("a%2Fb%3A%20%C3%BC%25.u" + str(bits), names)
        self.assertIn("%2Ehidden.u" + str(bits), names)
        self.assertTrue(max(map(len, names)) <= 200 + len(".u8"))

    def test_every_byte_of_uint8(self):
        self.check(8)

    def test_every_byte_of_uint4(self):
        self.check(4)

    def test_denormal_weights_are_exact(self):
        units = np.arange(-100, 100, dtype=np.float64).reshape(2, 100) * 2.0 ** -149
        self.write({"tiny": Tensor.of("F32", units)})
        self.pack()
        root = self.extract()
        entry = self.manifest(root)["tiny"]
        codes = np.frombuffer(read(root, "quantized", entry["file"]), np.uint8).astype(int)
        self.assertEqual(np.float32(entry["scale"]), np.float32(2.0 ** -149))
        restored = (codes - entry["zero_point"]) * float(np.float32(entry["scale"]))
        np.testing.assert_array_equal(restored, units.ravel())

    def test_beyond_f32_is_kept(self):
        wide = Tensor.of("F64", np.array([[1e300, -1e300], [0.0, 1.0]]))
        self.write({"wide": wide, "w": Tensor.of("F64", np.eye(3))})
        self.pack()
        manifest = self.manifest(self.extract())
        self.assertIsNone(manifest["wide"]["bits"])
        self.assertEqual(manifest["w"]["bits"], 8)

    def test_larger_than_what_is_kept_in_memory(self):
        pattern = (np.random.default_rng(3).standard_normal(1 << 16) * 0.1).astype(np.float32)
        repeat = 1100  # 72 M weights: more than 64 MiB of codes
        small = Tensor.of("BF16", pattern.reshape(256, 256))
        self.write({"big": Tensor("BF16", [256 * repeat, 256], small.raw * repeat)})
        self.pack()
        root = self.extract()
        expected = hashlib.sha256()
        for _ in range(repeat):
            expected.update(modellib.expected_bytes(small, 8))
        got = hashlib.sha256(read(root, "quantized/tensors/big.u8")).hexdigest()
        self.assertEqual(got, expected.hexdigest())
        self.assertEqual(self.manifest(root)["big"]["sha256"], got)

    def test_source_metadata_is_kept(self):
        self.write({"w": Tensor.of("F32", np.eye(4))}, metadata={"format": "pt", "author": "\"é\""})
        self.pack()
        data = read(self.extract(), "quantized/model.safetensors")
        size, = struct.unpack_from("<Q", data)
        metadata = json.loads(data[8:8 + size])["__metadata__"]
        self.assertEqual((metadata["format"], metadata["author"]), ("pt", "\"é\""))


class Determinism(Case):
    def test_the_number_of_threads_does_not_show(self):
        modellib.write_model(self.model, modellib.varied_tensors())
        for bits in "8", "4":
            images = []
            for jobs in "1", "2", "5":
                self.pack("--force", "--bits", bits, "--jobs", jobs)
                images.append(read(self.image))
            self.assertEqual(images[0], images[1])
            self.assertEqual(images[0], images[2])

    def test_the_kernel_does_not_show(self):
        """Every encoder that runs on this machine makes the same image."""
        modellib.write_model(self.model, modellib.varied_tensors())
        known = re.search("known are (.*)", run("x", "y", env={"ENTROFS_KERNEL": "none"}).stderr)[1].split(", ")
        kernels = [name for name in known if " " not in name]
        self.assertIn("scalar", kernels)
        images = set()
        for kernel in kernels:
            done = run("--force", self.model, self.image, env={"ENTROFS_KERNEL": kernel})
            self.assertEqual(done.returncode, 0, done.stderr)
            images.add(read(self.image))
        self.assertEqual(len(images), 1)

    def test_a_tensor_is_stored_alike_whatever_is_around_it(self):
        tensors = modellib.varied_tensors()
        self.write(tensors)
        self.pack()
        whole = read(self.image)
        self.write({"model.layer.0.weight": tensors["model.layer.0.weight"]})
        self.pack("--force")
        self.assertIn(read(self.image)[4096:4096 + 100_000], whole)


class Sources(Case):
    def shards(self):
        tensors = modellib.varied_tensors()
        names = list(tensors)
        parts = {"model-00001-of-00002.safetensors": names[:7],
                 "model-00002-of-00002.safetensors": names[7:]}
        for file, part in parts.items():
            self.write({name: tensors[name] for name in part}, file, {"from": file})
        index = {name: file for file, part in parts.items() for name in part}
        return tensors, index

    def write_index(self, index):
        with open(os.path.join(self.model, "model.safetensors.index.json"), "w") as file:
            json.dump({"metadata": {"total_size": 1}, "weight_map": index}, file)

    def test_sharded_equals_single(self):
        tensors, index = self.shards()
        self.write_index(index)
        self.pack()
        root = self.extract()
        self.assertEqual(sorted(os.listdir(root)), sorted({"quantized", "model.safetensors.index.json",
                                                          *index.values()}))
        for name, entry in self.manifest(root).items():
            self.assertEqual(read(root, "quantized", entry["file"]),
                             modellib.expected_bytes(tensors[name], 8))

    def test_an_index_that_lies(self):
        tensors, index = self.shards()
        first = next(iter(index))
        self.write_index({**index, first: "model-00002-of-00002.safetensors"})
        self.fails("'model.embed.weight' is in 'model-00001.* not where the index says")
        self.write_index({**index, "ghost": "model-00002-of-00002.safetensors"})
        self.fails("'ghost' of the index is missing from 'model-00002")
        self.write_index({**index, "ghost": "model-00003.safetensors"})
        self.fails("cannot open '.*model-00003.safetensors': No such file")
        self.write_index({**index, "ghost": "../model.safetensors"})
        self.fails("'ghost': '../model.safetensors' is no name of a file")
        self.write({first: tensors[first]}, "model-00003.safetensors")
        self.write_index({**index, "ghost": "model-00003.safetensors"})
        self.fails("is in both")
        with open(os.path.join(self.model, "model.safetensors.index.json"), "w") as file:
            file.write("{\"weight_map\": {}}")
        self.fails("index.json: it names no tensor")

    def test_symbolic_links_are_followed(self):
        tensors = {"w": Tensor.of("F32", np.eye(50))}
        blobs = self.path("blobs")
        os.makedirs(blobs)
        modellib.write_safetensors(os.path.join(blobs, "1a2b"), tensors)
        with open(os.path.join(blobs, "3c4d"), "w") as file:
            file.write("{}")
        os.symlink("../blobs/1a2b", os.path.join(self.model, "model.safetensors"))
        os.symlink("../blobs/3c4d", os.path.join(self.model, "config.json"))
        self.pack()
        root = self.extract()
        self.assertEqual(read(root, "config.json"), b"{}")
        self.assertEqual(read(root, "quantized/tensors/w.u8"), modellib.expected_bytes(tensors["w"], 8))

    def test_what_is_left_out(self):
        self.write({"w": Tensor.of("F32", np.eye(3))})
        for name in ("pytorch_model.bin", "tf_model.h5", "a.gguf", "other.safetensors", ".hidden"):
            with open(os.path.join(self.model, name), "w") as file:
                file.write("x")
        os.makedirs(os.path.join(self.model, "onnx"))
        done = self.pack()
        skipped = re.findall("skipping '.*/(.*?)'", done.stderr)
        self.assertEqual(skipped, ["a.gguf", "other.safetensors", "pytorch_model.bin", "tf_model.h5"])
        self.assertEqual(sorted(os.listdir(self.extract())), ["model.safetensors", "quantized"])
        done = self.pack("--force", "--verbose")
        self.assertIn(".hidden", done.stderr)
        self.assertIn("onnx", done.stderr)

    def test_links_to_nothing(self):
        """A folder of links, copied without their targets, must not lose its sidecars unnoticed."""
        self.write({"w": Tensor.of("F32", np.eye(3))})
        os.symlink("../blobs/missing", os.path.join(self.model, "config.json"))
        self.fails("cannot read '.*': config.json: No such file or directory")

    def test_only_other_weights(self):
        os.makedirs(self.model, exist_ok=True)
        self.fails("no .safetensors or .gguf file in this folder$")
        with open(os.path.join(self.model, "pytorch_model.bin"), "w") as file:
            file.write("x")
        self.fails("no .safetensors or .gguf file in this folder .'pytorch_model.bin' is of a format")

    def test_a_single_file_and_the_only_file(self):
        tensors = {"w": Tensor.of("F32", np.eye(3))}
        self.write(tensors, "weights.safetensors")
        self.pack(source=os.path.join(self.model, "weights.safetensors"))
        single = read(self.image)
        self.pack("--force")
        self.assertEqual(single, read(self.image))
        self.write(tensors, "more.safetensors")
        self.fails("several .safetensors files", "--force", left=["model.efs"])

    def test_nothing_to_pack(self):
        self.fails("no .safetensors or .gguf file")
        self.write({})
        self.fails("it has no tensors")
        self.fails("No such file", source=self.path("nowhere"))

    def test_a_sidecar_in_the_way(self):
        self.write({"w": Tensor.of("F32", np.eye(3))})
        with open(os.path.join(self.model, "quantized"), "w") as file:
            file.write("x")
        self.fails("'quantized' takes the name")

    def test_parameters_need_their_names(self):
        self.write({"w": Tensor.of("F32", np.eye(3)), "w.scale": Tensor.of("F32", np.ones(1))})
        self.fails("model.safetensors'.*'w.scale'.*'w'")
        self.pack("--keep", "^w$")


class Options(Case):
    def bits(self, *options):
        self.pack("--force", *options)
        return {name: entry["bits"] for name, entry in self.manifest(self.extract()).items()}

    def test_the_last_rule_that_matches_wins(self):
        self.write({name: Tensor.of("F32", np.eye(4)) for name in ("ab", "ac", "bc", "a=b")})
        self.assertEqual(self.bits(), {"ab": 8, "ac": 8, "bc": 8, "a=b": 8})
        self.assertEqual(self.bits("--keep=a"), {"ab": None, "ac": None, "bc": 8, "a=b": None})
        self.assertEqual(self.bits("--bits=4", "--keep=a", "--bits-for=^ab=8"),
                         {"ab": 8, "ac": None, "bc": 4, "a=b": None})
        self.assertEqual(self.bits("--bits-for=^ab=8", "--keep=a", "--bits-for=a=b=4"),
                         {"ab": None, "ac": None, "bc": 8, "a=b": 4})
        self.assertEqual(self.bits("--bits-for=(b|c)$=4", "--bits-for=c$=8"),
                         {"ab": 4, "ac": 8, "bc": 8, "a=b": 4})

    def test_a_rule_that_decides_nothing(self):
        """One line says which option it is, and where to look; the image is made all the same."""
        self.write({"a.weight": Tensor.of("F32", np.eye(4)), "a.bias": Tensor.of("F32", np.ones(4)),
                    "positions": Tensor.of("I64", np.eye(4))})
        names = "(--dry-run prints the names)"
        for options, said in (
                (["--keep=nothing"], f"--keep 'nothing' matches no tensor's name {names}"),
                (["--bits-for=nothing=4"], f"--bits-for 'nothing=4' matches no tensor's name {names}"),
                (["--keep=bias"], "--keep 'bias' is of no use: what it matches is kept anyway, such as "
                                  "'a.bias'"),
                (["--bits-for=pos=8"], "--bits-for 'pos=8' is of no use: what it matches is kept anyway, "
                                       "such as 'positions'"),
                (["--bits-for=a=4", "--keep=weight"], "--bits-for 'a=4' is of no use: later patterns "
                                                      "decide about all that it matches")):
            done = self.pack("--force", *options)
            self.assertEqual(done.stderr, f"mkentrofs: {said}\n")
        self.assertEqual(self.pack("--force", "--keep=bias|weight").stderr, "")

    def test_usage_errors(self):
        self.write({"w": Tensor.of("F32", np.eye(3))})
        self.fails("--bits is 8 or 4", "--bits=5", status=2)
        self.fails("REGEX=8 or REGEX=4", "--bits-for=x=3", status=2)
        self.fails(r"^mkentrofs: --keep '\(': bad regular expression: .*\n", "--keep=(", status=2)
        self.fails(r"^mkentrofs: --bits-for '\[=8': bad reg", "--bits-for=[=8", status=2)
        self.fails("--jobs", "--jobs=0", status=2)
        self.fails("unrecognized option", "--what", status=2)
        self.fails("too many arguments", "extra", status=2)
        self.assertEqual(run().returncode, 2)
        done = run("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("--bits-for", done.stdout)
        self.assertEqual(run("--version").returncode, 0)

    def test_json_accounts_for_every_byte(self):
        modellib.write_model(self.model, modellib.varied_tensors())
        done = self.pack("--json", "--jobs=3")
        figures = json.loads(done.stdout)
        size = os.path.getsize(self.image)
        self.assertEqual(figures["image_bytes"], size)
        self.assertEqual(sum(figures["stored"].values()), size)
        tensors = figures["tensors"]
        for kind in ("payload", "index"):
            self.assertEqual(sum(t[kind] for t in tensors), figures["stored"][kind])
        source = sum(os.path.getsize(os.path.join(self.model, name))
                     for name in os.listdir(self.model))
        self.assertEqual(figures["source_bytes"], source)
        self.assertEqual(figures["weights"], sum(t["weights"] for t in tensors))
        manifest = self.manifest(self.extract())
        for tensor in tensors:
            stored = tensor["payload"] + tensor["index"] + tensor["padding"]
            self.assertEqual(manifest[tensor["name"]]["stored_bytes"], stored)

    def test_sqnr_and_error_are_what_the_codes_make(self):
        values = np.random.default_rng(5).standard_normal((300, 500))
        tensor = Tensor.of("F32", values)
        self.write({"w": tensor})
        entry = json.loads(self.pack("--json").stdout)["tensors"][0]
        _, scale, zero, codes = modellib.quantize(tensor.values(), 8)
        error = (codes.astype(float) - zero) * float(scale) - tensor.values()
        sqnr = 10 * np.log10((tensor.values() ** 2).sum() / (error ** 2).sum())
        self.assertAlmostEqual(entry["sqnr_db"], sqnr, delta=0.003)
        self.assertGreaterEqual(entry["max_error"] * 1.00001, np.abs(error).max())
        self.assertLess(entry["max_error"], np.abs(error).max() * 1.001)


class Failures(Case):
    def test_nan_and_infinity_are_named(self):
        for bad, at in ((np.nan, 7777), (np.inf, 0), (-np.inf, 299_999)):
            values = np.ones(300_000, np.float32) * np.arange(300_000, dtype=np.float32)
            values[at] = bad
            self.write({"good": Tensor.of("F32", np.eye(2)),
                        "w": Tensor.of("F32", values.reshape(300, 1000))})
            self.fails(f"tensor 'w' has a NaN or infinite value at index {at} ")
        self.pack("--keep=^w$")

    def test_damaged_weight_files(self):
        good = {"a": Tensor.of("F32", np.eye(3)), "b": Tensor.of("F32", np.eye(3))}
        self.write(good)
        path = os.path.join(self.model, "model.safetensors")
        data = read(path)
        size, = struct.unpack_from("<Q", data)
        cases = [
            (data[:-1], "beyond the end of the file"),
            (data + b"x", "belongs to none, 1 bytes"),
            (data[:4], "too short"),
            (struct.pack("<Q", 1 << 62) + data[8:], "not a safetensors file"),
            (struct.pack("<Q", size - 40) + data[8:], "bad JSON"),
            (data.replace(b"[36, 72]", b"[35, 71]"), "overlaps"),
            (data.replace(b"[0, 36]", b"[1, 37]"), "hole"),
            (data.replace(b'"b"', b'"a"'), "duplicate"),
            (data.replace(b"F32", b"Q32"), "unknown dtype 'Q32'"),
            (b"", "too short"),
        ]
        for damaged, message in cases:
            with open(path, "wb") as file:
                file.write(damaged)
            self.fails(f"cannot read '.*model.safetensors': .*{message}")


class Novella(Case):
    def check(self, bits, excess):
        """Besides tensors and sidecars 16 KiB at most; a sector more with the model's weight files, too."""
        rest = self.rest(bits, excess, "--view=quantized")
        self.assertLessEqual(rest, 16 << 10)
        self.assertLessEqual(self.rest(bits, excess, "--force"), rest + 512)

    def rest(self, bits, excess, *options):
        """Bytes of the image that are neither tensors nor sidecars, which must be as small as they should."""
        figures = json.loads(self.pack(f"--bits={bits}", "--json", *options, source=NOVELLA).stdout)
        entropy = figures["quantized_entropy_bytes"]
        self.assertLessEqual(figures["quantized_stored_bytes"], entropy * excess)
        kept = [t for t in figures["tensors"] if not t["bits"]]
        stored = sum(t["payload"] + t["index"] + t["padding"] for t in kept)
        sidecars = [f for f in figures["files"] if not f["path"].startswith("quantized/")]
        stored += sum(f["stored_bytes"] for f in sidecars)
        self.assertLessEqual(stored, sum(t["source_bytes"] for t in kept)
                             + sum(f["bytes"] for f in sidecars))
        return figures["image_bytes"] - figures["quantized_stored_bytes"] - stored

    def test_uint8_is_within_two_percent_of_entropy(self):
        self.check(8, 1.02)

    def test_uint4_is_within_six_percent_of_entropy(self):
        self.check(4, 1.06)


if __name__ == "__main__":
    unittest.main()
