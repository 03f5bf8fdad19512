# SPDX-License-Identifier: MIT
"""The views of an image: weight files that take the place of the source's, and what each view costs."""
import json
import os
import struct
import unittest

import numpy as np

import modellib
import reader
from mklib import Case, read, run
from modellib import Tensor

FLOATS = ("F64", "F32", "F16", "BF16")
INDEX = "model.safetensors.index.json"


def weights(dtype, shape, seed):
    return Tensor.of(dtype, np.random.default_rng(seed).standard_normal(shape) * 0.05 - 0.01)


class Views(Case):
    def tensors(self, which=FLOATS):
        """Of each dtype one to quantize, with an odd number of weights, and one to keep; and what is no float."""
        tensors = {}
        for seed, dtype in enumerate(which):
            tensors[f"{dtype}.matrix"] = weights(dtype, [33, 151], seed)
            tensors[f"{dtype}.norm"] = weights(dtype, [77], seed + 10)
        tensors["negative"] = Tensor("F32", [3, 40], (-np.abs(np.arange(120, dtype="<f4") - 1e-3)).tobytes())
        tensors["constant"] = Tensor("F16", [9, 9], np.full(81, -0.3, "<f2").tobytes())
        tensors["positions"] = Tensor("I64", [5, 3], np.arange(15, dtype="<i8").tobytes())
        tensors["empty"] = Tensor("F32", [0, 4], b"")
        return tensors

    def expected(self, root, entry, data, dtype):
        """The bytes of a tensor of a weight file: its own if it is kept, else those of its numbers, rounded once."""
        if entry["bits"] is None:
            return data
        codes = read(root, "quantized", entry["file"])
        if entry["bits"] == 4:
            codes = bytes(half for byte in codes for half in (byte & 15, byte >> 4))
        codes = codes[:int(np.prod(entry["shape"]))]
        scale, zero = struct.unpack("<f", struct.pack("<f", entry["scale"]))[0], entry["zero_point"]
        table = [reader.number_of(scale, code - zero, dtype) for code in range(1 << entry["bits"])]
        return b"".join(map(table.__getitem__, codes))

    def check_weight_file(self, root, name):
        """Header and layout are the source's; so are the tensors, but for what quantization does to them."""
        source, served = read(self.model, name), read(root, name)
        size = 8 + struct.unpack_from("<Q", source)[0]
        self.assertEqual(len(served), len(source))
        self.assertEqual(served[:size], source[:size])
        manifest, checked = self.manifest(root), 0
        for tensor, entry in json.loads(source[8:size]).items():
            if tensor == "__metadata__":
                continue
            begin, end = (size + at for at in entry["data_offsets"])
            expected = self.expected(root, manifest[tensor], source[begin:end], entry["dtype"])
            self.assertTrue(served[begin:end] == expected, (name, tensor))
            checked += 1
        return checked

    def check_reader(self, root):
        """tests/reader.py makes the same files of the image."""
        image = reader.open_image(self.image)
        for node in image.files():
            self.assertTrue(b"".join(image.read_file(node)) == read(root, os.fsdecode(node.path)), node.path)

    def test_one_file(self):
        for bits in 8, 4:
            with self.subTest(bits=bits):
                tensors = self.tensors()
                self.write(tensors, metadata={"format": "pt"})
                self.pack(f"--bits={bits}", "--force")
                root = self.extract()
                self.assertEqual(self.check_weight_file(root, "model.safetensors"), len(tensors))
                self.check_reader(root)

    def test_file_by_name(self):
        """A model that is a single file is served under that file's name."""
        self.write(self.tensors(), "some name.safetensors")
        self.pack(source=os.path.join(self.model, "some name.safetensors"))
        root = self.extract()
        self.check_weight_file(root, "some name.safetensors")
        self.assertEqual(sorted(os.listdir(root)), ["quantized", "some name.safetensors"])

    def test_shards(self):
        """Shards and their index keep their names; each has its own tensors."""
        index = {"metadata": {"total_size": 1}, "weight_map": {}}
        for number, dtype in enumerate(FLOATS[:3]):
            name = f"model-{number}.safetensors"
            tensors = {key: value for key, value in self.tensors((dtype,)).items() if key.startswith(dtype)}
            self.write(tensors, name)
            index["weight_map"].update(dict.fromkeys(tensors, name))
        with open(os.path.join(self.model, INDEX), "w", encoding="utf-8") as file:
            json.dump(index, file)
        self.pack()
        root = self.extract()
        self.assertEqual(read(root, INDEX), read(self.model, INDEX))
        self.assertEqual([self.check_weight_file(root, f"model-{number}.safetensors") for number in range(3)], [2] * 3)
        self.check_reader(root)

    def test_npy(self):
        """NumPy loads and maps each tensor as it is stored, and each quantized one as the numbers of its codes."""
        tensors = self.tensors()
        tensors["scalar"] = Tensor("F32", [], np.float32(3.5).tobytes())
        tensors["flags"] = Tensor.of("BOOL", [True, False, True])
        self.write(tensors)
        for bits in 8, 4:
            self.pack(f"--bits={bits}", "--force", "--view=npy,npy-float")
            root = self.extract()
            for name, entry in self.manifest(root).items():
                with self.subTest(bits=bits, name=name):
                    self.check_npy(root, entry, tensors[name])
            self.check_reader(root)

    def check_npy(self, root, entry, tensor):
        file = os.path.basename(entry["file"]).rsplit(".", 1)[0] + ".npy"
        path = os.path.join(root, "npy", file)
        stored = read(root, "quantized", entry["file"])
        array = np.load(path)
        self.assertTrue(array.tobytes() == stored)
        self.assertTrue(array.size == 0 or np.array_equal(np.load(path, mmap_mode="r"), array))
        self.assertTrue(bool(entry["bits"]) == os.path.exists(os.path.join(root, "npy-float", file)))
        shape = list(tensor.shape)
        if not entry["bits"]:
            self.assertEqual((list(array.shape), array.itemsize), (shape, len(tensor.raw) // max(array.size, 1) or
                                                                   array.itemsize))
            return
        self.assertEqual(array.dtype, np.uint8)
        self.assertEqual(list(array.shape), shape if entry["bits"] == 8 else
                         shape[:-1] + [shape[-1] // 2] if shape[-1] % 2 == 0 else [-(-np.prod(shape) // 2)])
        dtype = "F32" if tensor.dtype == "BF16" else tensor.dtype
        numbers = np.load(os.path.join(root, "npy-float", file))
        self.assertEqual((list(numbers.shape), numbers.dtype.str),
                         (shape, {"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype]))
        self.assertTrue(numbers.tobytes() == self.expected(root, entry, b"", dtype))

    def names(self, *options):
        self.pack("--force", *options)
        root = self.extract()
        return sorted(os.path.relpath(os.path.join(folder, name), root)
                      for folder, _, names in os.walk(root) for name in names if "/tensors" not in folder)

    def test_choice(self):
        self.write(self.tensors())
        manifest, quantized, model = "quantized/manifest.json", "quantized/model.safetensors", "model.safetensors"
        self.assertEqual(self.names(), [model, manifest, quantized])
        self.assertEqual(self.names("--view=model,quantized"), [model, manifest, quantized])
        self.assertEqual(self.names("--view=quantized"), [manifest, quantized])
        self.assertEqual(self.names("--view=model"), [model, manifest])
        self.assertEqual(self.names("--view=none"), [manifest])
        self.assertEqual(self.names("--view=none", "--view=model"), [model, manifest])  # the last one counts
        for wrong in "", "modell", "model,", ",model", "model,none", "model quantized":
            done = run(f"--view={wrong}", self.model, self.path("out/x.efs"))
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertRegex(done.stderr, "^mkentrofs: --view: there is no '.*'; there are model, "
                             "gguf, quantized, npy, npy-float, none\n")

    def test_names_of_folders(self):
        """A file that has the name of a view's folder is refused at once, if that view is asked for."""
        self.write({"w": weights("F32", [64, 64], 1)})
        for name, view in ("npy", "npy"), ("npy-float", "npy-float"), ("quantized", "none"):
            path = os.path.join(self.model, name)
            with open(path, "wb") as file:
                file.write(b"x")
            self.fails(f"^mkentrofs: cannot pack '.*': the file '{name}' takes the name of a folder in the image\n$",
                       f"--view={view}")
            os.unlink(path)
        with open(os.path.join(self.model, "npy"), "wb") as file:
            file.write(b"x")
        self.pack("--view=model")  # then it is a sidecar as any other
        self.assertEqual(read(self.extract(), "npy"), b"x")
        named = os.path.join(self.model, "quantized")
        os.rename(os.path.join(self.model, "model.safetensors"), named)
        self.fails("the file 'quantized' takes the name", "--force", source=named, left=["model.efs"])

    def test_companions(self):
        """A tensor named like another one's parameter is in the way of one view only."""
        self.write({"w": weights("F32", [64, 64], 1), "w.scale": weights("F32", [64], 2)})
        self.fails("'w.scale' has the name that quantized/model.safetensors needs")
        self.pack("--view=model")
        self.check_weight_file(self.extract(), "model.safetensors")

    def test_growth(self):
        """A view takes no more than its headers: 32 bytes a tensor, and 1.5 KB; .npy files have names, too."""
        tensors = {f"model.layers.{i}.mlp.weight": weights("BF16", [64, 512], i) for i in range(100)}
        self.write(tensors)
        sizes = {}
        for views in "none", "model", "quantized", "model,quantized", "npy", "npy-float":
            figures = json.loads(self.pack("--force", "--json", f"--view={views}").stdout)
            sizes[views] = figures["image_bytes"]
        limit = 1536 + 32 * len(tensors)
        self.assertLess(sizes["model"] - sizes["none"], limit)
        self.assertLess(sizes["model,quantized"] - sizes["quantized"], limit)
        self.assertLess(sizes["npy"] - sizes["none"], limit + 32 * len(tensors))
        self.assertLess(sizes["npy-float"] - sizes["none"], limit + 32 * len(tensors))
        self.assertLess(sizes["model,quantized"], sizes["none"] + sum(len(t.raw) for t in tensors.values()) // 100)


if __name__ == "__main__":
    unittest.main()
