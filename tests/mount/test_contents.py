# SPDX-License-Identifier: MIT
"""What a mount shows: each file equal to --extract, and to what an independent quantizer says."""
import hashlib
import json
import os
import unittest

from mountlib import Mount, ROOT, all_files, contents, must, open_workshop, run
import modellib

MODELS = os.path.join(ROOT, "../shared/models")


def setUpModule():
    global shop, tensors, model
    shop = open_workshop()
    tensors = modellib.varied_tensors()
    model = shop.path("model")


class Contents(unittest.TestCase):
    bits = 8

    @classmethod
    def setUpClass(cls):
        cls.image = shop.pack(model, f"{cls.bits}.efs", "--bits", str(cls.bits))
        cls.mount = Mount(cls.image).__enter__()
        cls.addClassCleanup(cls.mount.__exit__, None, None, None)
        with open(cls.mount / "quantized/manifest.json") as file:
            cls.manifest = json.load(file)["tensors"]

    def test_every_file_equals_extract(self):
        """The mount and fsck's extraction agree on names and bytes of all files."""
        extracted = shop.extract(self.image, f"{self.bits}.extracted")
        names = all_files(self.mount.path)
        self.assertEqual(names, all_files(extracted))
        for name in names:
            with self.subTest(name):
                self.assertEqual(contents(self.mount / name),
                                 contents(os.path.join(extracted, name)))

    def test_tensor_files_hold_the_right_codes(self):
        """Every tensor's file holds what modellib.quantize() computes from the source."""
        self.assertEqual({entry["name"] for entry in self.manifest}, set(tensors))
        for entry in self.manifest:
            with self.subTest(entry["name"]):
                tensor = tensors[entry["name"]]
                got = contents(self.mount / os.path.join("quantized", entry["file"]))
                self.assertEqual(got, modellib.expected_bytes(tensor, self.bits))
                self.assertEqual(entry["sha256"], hashlib.sha256(got).hexdigest())

    def test_manifest_parameters(self):
        """Scheme, scale and zero point in the manifest are those of modellib.quantize()."""
        for entry in self.manifest:
            tensor = tensors[entry["name"]]
            with self.subTest(entry["name"]):
                self.assertEqual((entry["dtype"], entry["shape"]), (tensor.dtype, tensor.shape))
                if not tensor.is_quantized():
                    self.assertIsNone(entry["bits"])
                    continue
                scheme, scale, zero, _ = modellib.quantize(tensor.values(), self.bits)
                self.assertEqual((entry["bits"], entry["scheme"], entry["zero_point"]),
                                 (self.bits, scheme, zero))
                self.assertEqual(modellib.np.float32(entry["scale"]), scale)

    def test_safetensors_view(self):
        """quantized/model.safetensors is a well-formed file with the same bytes per tensor."""
        view = modellib.read_safetensors(self.mount / "quantized/model.safetensors")
        for name, tensor in tensors.items():
            with self.subTest(name):
                self.assertEqual(view[name].raw, modellib.expected_bytes(tensor, self.bits))
                if tensor.is_quantized():
                    _, scale, zero, _ = modellib.quantize(tensor.values(), self.bits)
                    self.assertEqual(view[name + ".scale"].raw, scale.tobytes())
                    self.assertEqual(view[name + ".zero_point"].raw,
                                     zero.to_bytes(4, "little", signed=True))

    def test_sidecars_are_verbatim(self):
        """Files that are not weights stand at the root, unchanged."""
        for name in ("config.json", "tokenizer.json"):
            self.assertEqual(contents(self.mount / name), contents(os.path.join(model, name)))

    def test_sha256sum_accepts_the_manifest(self):
        """The manifest's digests check the files with sha256sum -c, as a user would."""
        sums = "".join(f"{entry['sha256']}  {entry['file']}\n" for entry in self.manifest)
        with open(shop.path(f"{self.bits}.sums"), "w") as file:
            file.write(sums)
        out = must("sha256sum", "-c", shop.path(f"{self.bits}.sums"), cwd=self.mount / "quantized")
        self.assertEqual(out.count(": OK\n"), len(tensors))

    def test_copy(self):
        """cp -a copies the tree; diff finds no difference; times are kept."""
        copy = shop.path(f"{self.bits}.copy")
        must("cp", "-a", self.mount.path, copy)
        done = run("diff", "-r", self.mount.path, copy)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        name = "quantized/manifest.json"
        self.assertEqual(os.stat(os.path.join(copy, name)).st_mtime_ns,
                         os.stat(self.mount / name).st_mtime_ns)
        must("chmod", "-R", "u+w", copy)


class Contents4(Contents):
    bits = 4


class RealModels(unittest.TestCase):
    def check(self, folder):
        weights = os.path.join(folder, "model.safetensors")
        if not os.path.exists(weights):
            self.skipTest(f"no {folder}")
        source = modellib.read_safetensors(weights)
        for bits in (8, 4):
            image = shop.pack(folder, "real.efs", "--bits", str(bits))
            with Mount(image) as mount, open(mount / "quantized/manifest.json") as file:
                for entry in json.load(file)["tensors"]:
                    got = contents(mount / os.path.join("quantized", entry["file"]))
                    want = modellib.expected_bytes(source[entry["name"]], bits)
                    self.assertEqual(got, want, entry["name"])
            os.unlink(image)

    def test_bundled_model(self):
        """novella-7m, at 8 and 4 bits, against the independent quantizer."""
        self.check(os.path.join(ROOT, "runtime-demo/model"))

    def test_stories260k(self):
        self.check(os.path.join(MODELS, "stories260k"))

    def test_silero_vad(self):
        self.check(os.path.join(MODELS, "silero-vad"))


if __name__ == "__main__":
    unittest.main()
