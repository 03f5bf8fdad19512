# SPDX-License-Identifier: MIT
"""ONNX Runtime computes with weights that are files of a mount: external data of a model beside them."""
import io
import json
import os
import struct
import unittest

import numpy as np

from clientlib import need_npm, node
from modellib import Tensor, quantize, write_safetensors
from mountlib import Mount, contents, open_workshop
import onnxlib as onnx

ROWS, COLUMNS = 320, 512
PAGE = 4096
GRAPH = "graph.onnx-model"  # mkentrofs leaves out files that end in .onnx, as weights that it does not pack
VIEWS = {"numbers": "model.safetensors", "array": "npy-float/w.npy"}


def setUpModule():
    global shop
    need_npm("onnxruntime-node")
    shop = open_workshop()


def align_header(path):
    """Fills the header of a safetensors file with spaces, so that its first tensor begins on a page."""
    data = contents(path)
    size, = struct.unpack_from("<Q", data)
    header = data[8:8 + size].ljust(PAGE - 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + data[8 + size:])


def npy_header_size(array):
    file = io.BytesIO()
    np.save(file, array)
    return len(file.getvalue()) - array.nbytes


class External(unittest.TestCase):
    """A weight that is there three times, as codes, as a tensor of safetensors and as an .npy file, and a tensor
    that was kept: each is an output as it is, and y = x * weight + kept."""

    def setUp(self):
        random = np.random.default_rng(1)
        self.x = random.standard_normal((3, ROWS)).astype("<f4")
        self.weight = (random.standard_normal((ROWS, COLUMNS)) * 0.05 - 0.01).astype("<f4")
        self.kept = random.standard_normal(COLUMNS).astype("<f4")

    def graph(self, bits):
        code = onnx.UINT8 if bits == 8 else onnx.UINT4
        shape = [ROWS, COLUMNS]
        nodes = [onnx.node("DequantizeLinear", ["codes", "scale", "zero"], ["codes_out"])]
        nodes += [onnx.node("Identity", [name], [name + "_out"]) for name in (*VIEWS, "kept")]
        for name, weight in ("codes", "codes_out"), *((name, name) for name in VIEWS):
            nodes += [onnx.node("MatMul", ["x", weight], [name + "_product"]),
                      onnx.node("Add", [name + "_product", "kept"], [name + "_y"])]
        stored = [
            onnx.external("codes", code, shape, f"quantized/tensors/w.u{bits}", 0, self.weight.size * bits // 8),
            onnx.tensor("scale", onnx.FLOAT, [], np.float32(self.scale).tobytes()),
            onnx.tensor("zero", code, [], bytes([self.zero])),
            onnx.external("numbers", onnx.FLOAT, shape, VIEWS["numbers"], PAGE, self.weight.nbytes),
            onnx.external("array", onnx.FLOAT, shape, VIEWS["array"], npy_header_size(self.weight),
                          self.weight.nbytes),
            onnx.external("kept", onnx.FLOAT, [COLUMNS], "quantized/tensors/kept.f32", 0, self.kept.nbytes)]
        outputs = [onnx.floats(name + "_out", shape) for name in ("codes", *VIEWS)]
        outputs += [onnx.floats(name + "_y", [3, COLUMNS]) for name in ("codes", *VIEWS)]
        outputs += [onnx.floats("kept_out", [COLUMNS])]
        return onnx.model(nodes, stored, [onnx.floats("x", [3, ROWS])], outputs)

    def run_graph(self, bits):
        """The outputs by name and what was mapped by name of the file, with and without optimizations."""
        folder, out = shop.path(f"model-{bits}"), shop.path(f"out-{bits}")
        os.mkdir(folder)
        weights = os.path.join(folder, "model.safetensors")
        write_safetensors(weights, {"w": Tensor.of("F32", self.weight), "kept": Tensor.of("F32", self.kept)})
        align_header(weights)
        _, self.scale, self.zero, self.codes = quantize(self.weight.astype(np.float64).reshape(-1), bits)
        with open(os.path.join(folder, GRAPH), "wb") as file:
            file.write(self.graph(bits))
        image = shop.pack(folder, f"{bits}.efs", f"--bits={bits}", "--view=model,quantized,npy-float")
        with Mount(image) as mount:
            jobs = []
            for level in "all", "disabled":
                os.makedirs(os.path.join(out, level))
                jobs.append({"file": mount / GRAPH, "folder": os.path.join(out, level), "below": mount.path + "/",
                             "options": {"graphOptimizationLevel": level},
                             "inputs": {"x": [self.x.shape, self.x.reshape(-1).tolist()]}})
            for job, answer in zip(jobs, node("onnx.mjs", jobs), strict=True):
                yield ({name: np.fromfile(os.path.join(job["folder"], name), "<f4") for name in answer["outputs"]},
                       {os.path.relpath(line[5], mount.path): (line[1], int(line[2], 16)) for line in answer["maps"]})
            with open(mount / "quantized/manifest.json", encoding="utf-8") as file:
                entry = next(entry for entry in json.load(file)["tensors"] if entry["name"] == "w")
            self.assertEqual((entry["bits"], np.float32(entry["scale"]), entry["zero_point"]),
                             (bits, self.scale, self.zero))

    def check(self, bits):
        mapped_by = []
        for outputs, mapped in self.run_graph(bits):
            # The difference of two codes is exact, so this is rounded once, as the views' numbers are.
            numbers = (np.float32(self.scale) * (self.codes.astype("<f4") - np.float32(self.zero)))
            self.assertGreater(len(np.unique(numbers)), 10)
            exact = self.x.astype("f8") @ numbers.reshape(ROWS, COLUMNS) + self.kept
            # Of sums of so many products in any order, each operation rounded to 24 bits.
            limit = (np.abs(self.x).astype("f8") @ np.abs(numbers.reshape(ROWS, COLUMNS)) + np.abs(self.kept)) \
                * (ROWS + 1) * 2.0 ** -24
            self.assertLess(limit.max(), 1e-2)
            for name in "codes", *VIEWS:
                with self.subTest(bits=bits, name=name):
                    self.assertEqual(outputs[name + "_out"].tobytes(), numbers.tobytes())
                    self.assertTrue(np.all(np.abs(outputs[name + "_y"].reshape(exact.shape) - exact) <= limit))
            self.assertEqual(outputs["kept_out"].tobytes(), self.kept.tobytes())
            mapped_by.append(mapped)
        codes = f"quantized/tensors/w.u{bits}"
        self.assertEqual(mapped_by[0][codes], ("rw-p", 0))
        self.assertEqual(mapped_by[1][codes], ("rw-p", 0))
        # Without optimizations, which copy constants, all of them stay where they are.
        self.assertEqual(mapped_by[1][VIEWS["numbers"]], ("rw-p", PAGE))
        self.assertEqual(mapped_by[1][VIEWS["array"]], ("rw-p", 0))

    def test_uint8(self):
        self.check(8)

    def test_uint4(self):
        self.check(4)


if __name__ == "__main__":
    unittest.main()
