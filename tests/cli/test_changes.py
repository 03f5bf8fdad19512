# SPDX-License-Identifier: MIT
"""mkentrofs: a model whose folder changes while it is read makes no image.

Each run is stopped at a known point: it has opened every file, and writes a warning to a pipe that
is full.
"""
import fcntl
import json
import os
import subprocess
import time
import unittest

import numpy as np

import modellib
from mklib import PROGRAM, Case
from modellib import Tensor

TENSORS = {"a": Tensor.of("F32", np.eye(64)), "b": Tensor.of("F32", np.eye(64))}


class Changes(Case):
    def start_waiting(self, source=None):
        """A run that waits to be read from, and the pipe to read."""
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writing, b"." * 4096)
        process = subprocess.Popen([PROGRAM, "--keep=no such tensor", source or self.model, self.image],
                                   stdout=subprocess.DEVNULL, stderr=writing)
        os.close(writing)
        deadline = time.monotonic() + 20
        while not self.waits(process.pid):
            self.assertIsNone(process.poll(), "it has ended")
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.001)
        return process, reading

    def waits(self, pid):
        """Whether it sleeps, having opened the last of its files."""
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            state = file.read().rsplit(")", 1)[1].split()[0]
        try:
            opened = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except FileNotFoundError:  # closed meanwhile
            return False
        return state == "S" and os.path.realpath(self.last) in opened

    def changed(self, change, source=None):
        """What is said of this change; (exit status, lines without the warning)."""
        process, reading = self.start_waiting(source)
        change()
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read().lstrip(b".").decode()
        process.wait(timeout=60)
        return process.returncode, said.splitlines()[1:]

    def file(self, name):
        return os.path.join(self.model, name)

    def prepare(self):
        for name in os.listdir(self.model):
            os.unlink(self.file(name))
        modellib.write_model(self.model, TENSORS)
        self.last = self.file("tokenizer.json")
        if os.path.exists(self.image):
            os.unlink(self.image)

    def put(self, name, data=b"{}", mode="wb"):
        with open(self.file(name), mode) as file:
            file.write(data)

    def replace(self, name):
        """The same bytes and times, but another file, as rsync would put it there."""
        before = os.stat(self.file(name))
        with open(self.file(name), "rb") as file:
            self.put(".new", file.read())
        os.utime(self.file(".new"), ns=(before.st_atime_ns, before.st_mtime_ns))
        os.rename(self.file(".new"), self.file(name))

    def test_every_kind_of_change(self):
        weights, sidecar = "model.safetensors", "config.json"
        replaced = "it was replaced or removed while it was read"
        cases = {
            "weights grow": (lambda: self.put(weights, b"x", "ab"), weights, "it changed"),
            "weights shrink": (lambda: os.truncate(self.file(weights), 1000), weights,
                               "it has become shorter"),
            "weights are touched": (lambda: os.utime(self.file(weights), (1, 1)), weights, "it changed"),
            "weights are replaced": (lambda: self.replace(weights), weights, replaced),
            "weights are removed": (lambda: os.unlink(self.file(weights)), weights, replaced),
            "a sidecar grows": (lambda: self.put(sidecar, b"x", "ab"), sidecar, "it changed"),
            "a sidecar shrinks": (lambda: os.truncate(self.file(sidecar), 3), sidecar,
                                  "it has become shorter"),
            "a sidecar is replaced": (lambda: self.replace(sidecar), sidecar, replaced),
            "a sidecar is removed": (lambda: os.unlink(self.file(sidecar)), sidecar, replaced),
            "a sidecar appears": (lambda: self.put("new.json"), "", "'new.json' appeared"),
            "weights appear": (lambda: self.put("model-2.safetensors"), "",
                               "'model-2.safetensors' appeared"),
            "an index appears": (lambda: self.put("model.safetensors.index.json"), "",
                                 "'model.safetensors.index.json' appeared"),
            "the folder goes": (lambda: os.rename(self.model, self.path("gone")), weights, replaced),
        }
        for name, (change, file, message) in cases.items():
            with self.subTest(name):
                self.prepare()
                status, lines = self.changed(change)
                self.assertEqual((status, len(lines)), (1, 1), lines)
                self.assertRegex(lines[0], f"^mkentrofs: cannot (pack|read) '.*/{file}': .*{message}"
                                 if file else f"^mkentrofs: cannot pack '{self.model}': {message}")
                self.assertEqual(os.listdir(self.path("out")), [])
        os.rename(self.path("gone"), self.model)

    def test_changes_that_do_not_matter(self):
        """Hidden files, folders, and images and weights of other formats may come."""
        self.prepare()

        def change():
            self.put(".hidden")
            self.put("other.efs")
            self.put("pytorch_model.bin")
            self.put("other.gguf")
            os.mkdir(self.file("onnx"))
        status, lines = self.changed(change)
        self.assertEqual((status, lines[1:]), (0, []), lines)
        os.rmdir(self.file("onnx"))

    def test_an_index_and_its_shards(self):
        index = {"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}
        for change, message in ((lambda: self.put("model.safetensors.index.json"),
                                 "model.safetensors.index.json': it has become shorter"),
                                (lambda: self.put("m-3.safetensors"), "'m-3.safetensors' appeared"),
                                (lambda: os.unlink(self.file("m-2.safetensors")),
                                 "m-2.safetensors': it was replaced or removed")):
            self.prepare()
            os.unlink(self.file("model.safetensors"))
            self.write({"a": TENSORS["a"]}, "m-1.safetensors")
            self.write({"b": TENSORS["b"]}, "m-2.safetensors")
            self.put("model.safetensors.index.json", json.dumps(index).encode())
            status, lines = self.changed(change)
            self.assertEqual((status, len(lines)), (1, 1), lines)
            self.assertIn(message, lines[0])

    def test_a_single_file(self):
        self.prepare()
        self.last = self.file("model.safetensors")
        status, lines = self.changed(lambda: self.put("new.json"), source=self.last)
        self.assertEqual((status, lines), (0, []))
        os.unlink(self.image)
        status, lines = self.changed(lambda: self.replace("model.safetensors"), source=self.last)
        self.assertEqual((status, len(lines)), (1, 1), lines)


if __name__ == "__main__":
    unittest.main()
