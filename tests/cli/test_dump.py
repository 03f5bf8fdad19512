# SPDX-License-Identifier: MIT
"""dump.entrofs as text and as JSON; test_html.py is about its page."""
import json
import os
import unittest

import reader
import test_fsck
from schema import check_schema, schema
from test_fsck import CLEAN, dump, fsck, run

GROUPS = "uint8", "uint4", "kept"


class Dump(test_fsck.Images):
    def pack(self, name, *options):
        image = self.path(name + ".efs")
        done = run("mkentrofs", *options, self.model, image)
        self.assertEqual(done.returncode, 0, done.stderr)
        return image

    def test_json(self):
        """Space adds up to the file, and tensors say what the manifest says."""
        self.assert_result(fsck("-x", self.path("tree"), self.image), CLEAN)
        with open(self.path("tree", "quantized", "manifest.json"), encoding="utf-8") as file:
            manifest = {t["name"]: t for t in json.load(file)["tensors"]}
        shown = json.loads(dump("--json", self.image).stdout)
        space = dict(shown["space"])
        self.assertEqual(space.pop("total"), len(self.bytes))
        self.assertEqual(sum(space.values()), len(self.bytes))
        self.assertEqual(shown["superblock"]["image_size"], len(self.bytes))
        self.assertEqual(shown["superblock"]["digest"], self.bytes[152:184].hex())
        self.assertEqual(sorted(t["name"] for t in shown["tensors"]), sorted(self.tensors))
        for tensor in shown["tensors"]:
            source, listed = self.tensors[tensor["name"]], manifest[tensor["name"]]
            self.assertEqual(tensor["shape"], source.shape)
            self.assertEqual(tensor["dtype"], source.dtype)
            for key in ("bits", "scheme", "scale", "zero_point", "stored_bytes", "sha256", "shape", "dtype"):
                self.assertEqual(tensor[key], listed[key], (tensor["name"], key))
            self.assertEqual(tensor["file"], "quantized/" + listed["file"])
            self.assertEqual(tensor["stored_bytes"], tensor["payload"] + tensor["index"] + tensor["padding"])
            weights = 1
            for dimension in source.shape:
                weights *= dimension
            self.assertAlmostEqual(tensor["bits_per_weight"],
                                   tensor["stored_bytes"] * 8 / weights if weights else 0, places=5)

    def test_schema(self):
        """The JSON of real images has the keys and types that the man page says, and no others."""
        table = {}
        for key, types in schema("dump.entrofs.8").items():
            for group in GROUPS if "GROUP" in key else [""]:
                table[key.replace("GROUP", group)] = types
        mixed, plain = self.pack("mixed", "--bits-for=layer.1=4", "--bits-for=^constant=4"), self.image
        for image in mixed, plain:
            for arguments in ["--json"], ["--json", "--tables"]:
                done = dump(*arguments, image)
                self.assertEqual((done.returncode, done.stderr), (0, b""))
                shown = json.loads(done.stdout)
                check_schema(self, table, shown)
                self.assertEqual("streams" in shown, "--tables" in arguments)
        self.assertEqual(sorted(key for key in table if key.startswith("totals.") and key.count(".") == 1),
                         sorted("totals." + group for group in GROUPS))

    def test_sums(self):
        """Groups add up to the tensors in them, and contents to what an extraction has."""
        image = self.pack("sums", "--bits-for=layer.1=4", "--bits-for=^constant=4")
        shown = json.loads(dump("--json", image).stdout)
        self.assertEqual(dump("--json", image).stdout, dump("--json", image).stdout)
        for group, totals in shown["totals"].items():
            tensors = [t for t in shown["tensors"] if t["bits"] == {"uint8": 8, "uint4": 4, "kept": None}[group]]
            self.assertEqual(totals["tensors"], len(tensors))
            for key in "weights", "source_bytes", "raw_bytes", "stored_bytes":
                self.assertEqual(totals[key], sum(t[key] for t in tensors), (group, key))
            bits = sum(t["entropy_bits"] * t["weights"] for t in tensors)
            self.assertAlmostEqual(totals["entropy_bits"], bits / totals["weights"], places=6)
        for tensor in shown["tensors"]:
            self.assertEqual(tensor["source_bytes"], len(self.tensors[tensor["name"]].raw))
        self.assert_result(fsck("-x", self.path("all"), image), CLEAN)
        found = [(os.path.relpath(folder, self.path("all")), folders, files)
                 for folder, folders, files in os.walk(self.path("all"))]
        contents = shown["contents"]
        self.assertEqual(contents["files"], sum(len(files) for _, _, files in found))
        self.assertEqual(contents["folders"], len(found))
        self.assertEqual(contents["tensors"], len(self.tensors))
        opened = reader.open_image(image)
        self.assertGreater(len(opened.transcodes), 0)
        for key in "streams", "blobs", "transcodes":
            self.assertEqual(contents[key], len(getattr(opened, key)))
            self.assertRegex(dump(image).stdout.decode(), f"\ncontents: .* {contents[key]} {key}[,\n]")
        self.assertEqual(contents["sidecar_bytes"], sum(os.path.getsize(os.path.join(self.path("all"), folder, name))
                                                        for folder, _, files in found for name in files
                                                        if not folder.startswith("quantized")))

    def test_decoder(self):
        """Text and JSON name the decoder in use."""
        for kernel in "reference", "scalar":
            env = {**os.environ, "ENTROFS_KERNEL": kernel}
            self.assertEqual(json.loads(run("dump.entrofs", "--json", self.image, env=env).stdout)["decoder"], kernel)
            self.assertIn(f"\ndecoder:    {kernel}\n", run("dump.entrofs", self.image, env=env).stdout.decode())

    def test_tables(self):
        """Code lengths of every table fill the code space, and blocks cover each stream."""
        shown = json.loads(dump("--json", "--tables", self.image).stdout)
        self.assertEqual(sum(s["payload"] for s in shown["streams"]), shown["space"]["payload"])
        for stream in shown["streams"]:
            self.assertEqual(sum(stream["blocks"].values()), -(-stream["raw_bytes"] // stream["block_size"]))
            self.assertEqual(len(stream["tables"]), len(stream["table_blocks"]))
            self.assertEqual(sum(stream["table_blocks"]), stream["blocks"]["coded"])
            for lengths in stream["tables"]:
                self.assertEqual(sum(n / 2 ** length for length, n in enumerate(lengths)), 1)

    def test_text(self):
        """The text names every tensor, and no control character of a name reaches the terminal."""
        done = dump("--tables", self.image)
        self.assertEqual(done.returncode, 0, done.stderr)
        text = done.stdout.decode()
        for word in ("model.layer.0.weight", "a/b: ü%", "301x517", "scalar", "hash tree", "bits/weight",
                     "codes of each length", "red\ufffd[31m\ufffd31m"):
            self.assertIn(word, text)
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\u009b", text)
        self.assertIn(str(len(self.bytes)), text)

    def test_failures(self):
        """Damage, absent files, full devices and wrong usage have their exit codes."""
        data = bytearray(self.bytes)
        data[100] ^= 1
        self.assert_result(dump(self.doctored(data)), 1, "cannot read", "checksum")
        self.assert_result(dump(self.path("absent")), 1, "cannot open")
        for arguments in ([], ["--bogus"], [self.image, self.image], ["--offset=", self.image]):
            self.assert_result(dump(*arguments), 2, "--help")
        if os.path.exists("/dev/full"):
            with open("/dev/full", "wb") as full:
                self.assert_result(run("dump.entrofs", self.image, stdout=full), 1, "cannot write")
        self.assertEqual(dump("--help").returncode, 0)


if __name__ == "__main__":
    unittest.main()
