# SPDX-License-Identifier: MIT
"""fsck.entrofs --extract: what is chosen, where it may go, what is left of a damaged image; --json."""
import fcntl
import json
import os
import random
import signal
import struct
import subprocess
import time
import unittest

import test_fsck
from schema import check_schema, schema
from test_fsck import BUILD, CLEAN, DAMAGED, FAILED, USAGE, fsck, read, read_catalog, tensor_at, write

CANCELLED = 32


def tree(folder):
    """{path: bytes} of the files below a folder."""
    return {os.path.relpath(os.path.join(path, name), folder): read(os.path.join(path, name))
            for path, _, names in os.walk(folder) for name in names}


class Extract(test_fsck.Images):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        done = fsck("-x", cls.path("all"), cls.image)
        assert done.returncode == CLEAN, done.stderr
        cls.all = tree(cls.path("all"))

    def extract(self, name, *arguments, image=None):
        """(what fsck.entrofs did, the files that are there)"""
        done = fsck("-x", self.path(name), *arguments, image or self.image)
        return done, tree(self.path(name))

    def test_path(self):
        """Patterns choose files, folders with all in them, and nothing else; each file is whole."""
        for number, (patterns, choose) in enumerate((
                (["*.json"], lambda p: "/" not in p and p.endswith(".json")),
                (["quantized/tensors"], lambda p: p.startswith("quantized/tensors/")),
                (["**/model.layer.[01]*", "config.json"],
                 lambda p: "tensors/model.layer.0" in p or "tensors/model.layer.1" in p or p == "config.json"),
                (["**/*.f32"], lambda p: p.endswith(".f32")),
                (["quantized/*"], lambda p: p.startswith("quantized/")))):
            arguments = [f"--path={pattern}" for pattern in patterns]
            done, files = self.extract(f"path{number}", *arguments)
            self.assert_result(done, CLEAN, f"{len(files)} files")
            self.assertEqual(files, {p: data for p, data in self.all.items() if choose(p)}, patterns)
            self.assertGreater(len(files), 0)
        self.assertEqual(os.listdir(self.path("path0", "")).count("quantized"), 0, "no needless folders")

    def test_path_that_matches_nothing(self):
        """It is named, and nothing is extracted, also if other patterns match."""
        done, files = self.extract("none", "-p", "*.json", "-p", "nothing/*")
        self.assert_result(done, FAILED, "nothing/*", "matches")
        self.assertEqual(files, {})
        self.assertFalse(os.path.exists(self.path("none")))
        done, files = self.extract("none", "-p", "a[b")
        self.assert_result(done, FAILED, "a[b", "has no ']'")
        self.assert_result(fsck("-p", "*", self.image), USAGE, "need --extract")
        self.assert_result(fsck("-c", self.image), USAGE, "need --extract")

    def test_force(self):
        """--force replaces files, leaves others, and follows no link that is in the way."""
        target, outside = self.path("force"), self.path("outside")
        os.makedirs(os.path.join(target, "quantized"))
        os.mkdir(outside)
        write(os.path.join(outside, "file"), b"mine")
        write(os.path.join(target, "other"), b"mine")
        write(os.path.join(target, "tokenizer.json"), b"old")
        os.symlink(os.path.join(outside, "file"), os.path.join(target, "config.json"))
        os.symlink(outside, os.path.join(target, "quantized", "tensors"))
        done, files = self.extract("force", "--force")
        self.assert_result(done, FAILED, "symbolic link")
        done, files = self.extract("force", "--force", "--continue-on-error")
        self.assert_result(done, FAILED, "cannot extract 'quantized/tensors'")
        self.assertEqual(tree(outside), {"file": b"mine"})
        self.assertFalse(os.path.islink(os.path.join(target, "config.json")))
        os.unlink(os.path.join(target, "quantized", "tensors"))
        done, files = self.extract("force", "--force")
        self.assert_result(done, CLEAN)
        self.assertEqual(files, {**self.all, "other": b"mine"})
        self.assertEqual(tree(outside), {"file": b"mine"})

    def test_continue_on_error(self):
        """Of an image with a bad index and a bad block all else is extracted; each loss is named."""
        catalog = read_catalog(self.bytes)
        tensors, streams = struct.unpack_from("<2I", catalog, 8)
        records = tensor_at(catalog, tensors)
        files = [tensor_at(catalog, i) for i in range(tensors)]
        data = bytearray(self.bytes)
        offset, stored = struct.unpack_from("<2Q", catalog, records)
        data[offset + stored // 2] ^= 0x10
        offset, stored = struct.unpack_from("<2Q", catalog, records + 56 * 2 + 24)
        data[offset + stored // 2] ^= 0x10
        lost = {"quantized/model.safetensors", "model.safetensors"}
        nodes = {struct.unpack_from("<I", catalog, at + 44)[0] for at in files
                 if struct.unpack_from("<I", catalog, at + 36)[0] in (0, 2)}
        image = self.doctored(data)
        done, found = self.extract("stop", image=image)
        self.assert_result(done, DAMAGED, "stream 2: index", "--continue-on-error")
        self.assertEqual(found, {})
        done, found = self.extract("go", "-c", image=image)
        self.assert_result(done, DAMAGED, "stream 0: block", "stream 2: index", *lost)
        missing = set(self.all) - set(found)
        self.assertEqual(len(missing), len(nodes) + len(lost))
        self.assertLessEqual(lost, missing)
        self.assertEqual(found, {p: data for p, data in self.all.items() if p not in missing})
        for path in missing:
            self.assertIn(f"cannot extract '{path}'", done.stderr.decode())

    def test_interrupted(self):
        """A signal leaves whole files only, and the exit code says so; so does a kill, but for the code."""
        def hold():
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            os.kill(os.getpid(), signal.SIGTERM)
        done = subprocess.run([os.path.join(BUILD, "fsck.entrofs"), "-x", self.path("int"), self.image],
                              preexec_fn=hold, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, CANCELLED, done.stderr)
        self.assertIn(b"interrupted", done.stderr)
        self.assertEqual(tree(self.path("int")), {})
        chance = random.Random(3)
        for number in range(12):
            name, kind = f"kill{number}", (signal.SIGKILL, signal.SIGINT)[number % 2]
            process = subprocess.Popen([os.path.join(BUILD, "fsck.entrofs"), "-q", "-x", self.path(name), self.image],
                                       stderr=subprocess.DEVNULL)
            time.sleep(chance.random() * 0.06)
            process.send_signal(kind)
            code = process.wait(timeout=60)
            self.assertIn(code, (-kind, CLEAN) if kind == signal.SIGKILL else (-kind, CLEAN, CANCELLED))
            files = tree(self.path(name))
            self.assertEqual(files, {path: self.all[path] for path in files})

    def test_what_a_killed_extraction_left(self):
        """Temporary files that nobody is writing are removed from the folders of the tree; others stay."""
        target, number = self.path("left"), "0123456789abcdef"
        tensors = os.path.join(target, "quantized/tensors")
        os.makedirs(tensors)
        kept = os.path.join(tensors, f".locked.{number}.entrofs")
        for path in (os.path.join(target, f".config.json.{number}.entrofs"),
                     os.path.join(tensors, f".w.u8.{number}.entrofs"), kept):
            write(path, b"half")
        with open(kept, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assert_result(fsck("-f", "-x", target, self.image), CLEAN)
        self.assertEqual(tree(target), {**self.all, os.path.relpath(kept, target): b"half"})
        os.mkdir(self.path("fresh"))
        write(self.path("fresh", f".config.json.{number}.entrofs"), b"half")
        self.assert_result(fsck("-x", self.path("fresh"), self.image), CLEAN)
        self.assertEqual(tree(self.path("fresh")), self.all)

    def test_json(self):
        """Sound, damaged, unreadable and extracted: one object each, with the keys of the man page."""
        table = schema("fsck.entrofs.8")
        damaged = bytearray(self.bytes)
        catalog = read_catalog(self.bytes)
        tensors, = struct.unpack_from("<I", catalog, 8)
        offset, stored = struct.unpack_from("<2Q", catalog, tensor_at(catalog, tensors))
        damaged[offset + stored // 2] ^= 0x10
        write(self.path("damaged.efs"), damaged)
        cut = self.doctored(self.bytes[:5000])
        target = self.path("json\udcff")
        results = {}
        for name, arguments, code in (
                ("clean", [self.image], CLEAN), ("deep", ["-d", self.image], CLEAN),
                ("damaged", ["-d", self.path("damaged.efs")], DAMAGED),
                ("rest", ["-c", "-x", target, self.path("damaged.efs")], DAMAGED),
                ("cut", [cut], DAMAGED), ("absent", [self.path("absent")], FAILED),
                ("folder", [self.scratch.name], FAILED),
                ("nothing", ["-x", self.path("no"), "-p", "nope", self.image], FAILED)):
            done = fsck("--json", *arguments)
            with self.subTest(name):
                self.assertEqual(done.returncode, code, done.stderr)
                results[name] = shown = json.loads(done.stdout)
                check_schema(self, table, shown)
                self.assertEqual((shown["exit_code"], shown["clean"]), (code, code == 0))
                self.assertEqual(shown["totals"]["findings"], len(shown["findings"]))
        self.assertEqual(results["clean"]["image"]["digest"], self.bytes[152:184].hex())
        self.assertEqual(results["clean"]["image"]["tensors"], len(self.tensors))
        self.assertGreater(results["deep"]["totals"]["decoded_bytes"], 500_000)
        kinds = [f["kind"] for f in results["damaged"]["findings"]]
        self.assertEqual(kinds, ["hash_tree", "block"])
        self.assertEqual(results["damaged"]["findings"][1]["place"]["tensor"],
                         next(t for t in json.loads(test_fsck.dump("--json", self.image).stdout)["tensors"]
                              if t["stream"] == 0)["name"])
        self.assertEqual(results["rest"]["extracted"]["lost"], 3)  # the tensor's, and two views
        self.assertEqual(results["rest"]["extracted"]["files"], len(self.all) - 3)
        self.assertEqual({f["kind"] for f in results["cut"]["findings"]}, {"image"})
        self.assertIsNone(results["absent"]["image"])
        self.assertEqual(results["nothing"]["findings"][0]["kind"], "target")


if __name__ == "__main__":
    unittest.main()
