# SPDX-License-Identifier: MIT
"""mkentrofs with tensors whose blocks differ: several code tables, where they pay, and the same weights as ever."""
import json
import os
import subprocess
import unittest

import modellib
from mklib import BUILD, Case, read


class Spread(Case):
    def figures(self, *options):
        done = self.pack("--json", "--force", *options)
        return {tensor["name"]: tensor for tensor in json.loads(done.stdout)["tensors"]}

    def assert_contents(self, tensors, bits):
        root = self.extract()  # after fsck --deep
        manifest = self.manifest(root)
        for name, tensor in tensors.items():
            data = read(root, "quantized", manifest[name]["file"])
            self.assertTrue(data == modellib.expected_bytes(tensor, bits), name)

    def test_tables_are_as_many_as_pay(self):
        tensors = modellib.spread_tensors()
        self.write(tensors)
        for bits in 8, 4:
            figures = self.figures(f"--bits={bits}")
            for name, tensor in figures.items():
                if name == "plain.weight":
                    self.assertEqual(tensor["tables"], 1)
                else:
                    self.assertGreaterEqual(tensor["tables"], 2, name)
                    self.assertLessEqual(tensor["tables"], 8, name)
            self.assertEqual(figures["experts.weight"]["tables"], 2)
            self.assert_contents(tensors, bits)

    def test_stored_bytes_can_be_fewer_than_the_entropy(self):
        """The entropy is that of all bytes of a tensor, as if its blocks were alike."""
        self.write(modellib.spread_tensors())
        figures = self.figures()
        for name in "embed.weight", "layer.1.weight", "experts.weight":
            self.assertLess(figures[name]["bits_per_weight"], figures[name]["entropy_bits"])
        self.assertGreater(figures["plain.weight"]["bits_per_weight"], figures["plain.weight"]["entropy_bits"])

    def test_the_number_of_threads_does_not_show(self):
        self.write(modellib.spread_tensors())
        for bits in "8", "4":
            images = []
            for jobs in "1", "2", "5":
                self.pack("--force", "--bits", bits, "--jobs", jobs)
                images.append(read(self.image))
            self.assertEqual(images[0], images[1])
            self.assertEqual(images[0], images[2])

    def test_tensors_too_large_to_look_at_all_blocks(self):
        """20 MiB of codes: one in two of 1280 blocks."""
        columns = 8192
        tensors = {"w": modellib.spread_tensors(20 << 20)["layer.1.weight"]}
        self.assertEqual(tensors["w"].shape[1] % columns, 0)
        self.write(tensors)
        images = []
        for jobs in "1", "3":
            self.assertGreater(self.figures("--jobs", jobs)["w"]["tables"], 2)
            images.append(read(self.image))
        self.assertEqual(images[0], images[1])
        self.assert_contents(tensors, 8)

    def test_dump_counts_tables_and_their_blocks(self):
        self.write(modellib.spread_tensors(1 << 18))
        figures = self.figures()
        dump = json.loads(subprocess.run([os.path.join(BUILD, "dump.entrofs"), "--json", "--tables", self.image],
                                         stdout=subprocess.PIPE, text=True, check=True).stdout)
        for tensor in dump["tensors"]:
            stream = dump["streams"][tensor["stream"]]
            self.assertEqual(tensor["tables"], figures[tensor["name"]]["tables"])
            self.assertEqual(len(stream["tables"]), tensor["tables"])
            self.assertEqual(len(stream["table_blocks"]), tensor["tables"])
            self.assertEqual(sum(stream["table_blocks"]), stream["blocks"]["coded"])
            self.assertTrue(all(stream["table_blocks"]))
        text = subprocess.run([os.path.join(BUILD, "dump.entrofs"), "--tables", self.image],
                              stdout=subprocess.PIPE, text=True, check=True).stdout
        for tensor in dump["tensors"]:
            fields = next(line for line in text.splitlines() if line.endswith("  " + tensor["name"])).split()
            self.assertEqual(int(fields[5]), tensor["tables"])
        self.assertRegex(text, r"\n  table 1 +\d+ blocks, +\d+ symbols;")


if __name__ == "__main__":
    unittest.main()
