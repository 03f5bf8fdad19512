# SPDX-License-Identifier: MIT
"""Lossless images of trees that no image can be made of, and of trees that change meanwhile."""
import fcntl
import os
import subprocess
import time
import unittest

from mklib import PROGRAM, Case, run
from test_target import NO_NAMESPACE, WITHOUT_FD


class Trees(Case):
    def put(self, name, data=b"x"):
        path = os.path.join(self.model, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)

    def refused(self, message):
        """Before any file is packed, and in a dry run, too."""
        self.fails(f"^mkentrofs: {message}\n$", "--lossless")
        done = run("--lossless", "--dry-run", self.model)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, f"^mkentrofs: {message}\n$")

    def test_names_of_the_manifest(self):
        self.put("a")
        for name in "lossless", "lossless/manifest.json", "lossless/manifest.json/b":
            with self.subTest(name):
                self.put(name)
                self.refused(f"cannot pack '.*/{name}': an image has its own 'lossless/manifest.json'")
                subprocess.run(["rm", "-r", os.path.join(self.model, "lossless")], check=True)
        for name in "lossless/other", "lossless/manifest.json2", "lossless2", "b/lossless/manifest.json":
            self.put(name)
        self.pack("--lossless")
        self.assertTrue(os.path.exists(os.path.join(self.extract(), "b/lossless/manifest.json")))

    def test_depth(self):
        self.put("d/" * 63 + "f")
        self.pack("--lossless")
        os.unlink(self.image)
        self.put("d/" * 64 + "f")
        self.refused("cannot pack '.*/d/f': too many folders within each other")

    def test_unreadable(self):
        """It is said before hours are spent on the others."""
        self.put("a")
        os.truncate(os.path.join(self.model, "a"), 1 << 40)
        self.put("z")
        os.chmod(os.path.join(self.model, "z"), 0)
        os.chmod(self.folder, 0o755)
        nobody = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
        try:
            run("--version", **nobody)
        except PermissionError:
            self.skipTest("another user may not run this build")
        done = run("--lossless", "--dry-run", self.model, **nobody)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, "^mkentrofs: cannot open '.*/z': Permission denied\n$")

    def changed(self, change):
        """What is said of a change that comes while a note about an empty folder waits to be read."""
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writing, b"." * 4096)
        with subprocess.Popen([PROGRAM, "--lossless", self.model, self.image], stdout=subprocess.DEVNULL,
                              stderr=writing) as process:
            os.close(writing)
            deadline, asleep = time.monotonic() + 20, 0
            while asleep < 10:
                with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
                    asleep = asleep + 1 if file.read().rsplit(")", 1)[1].split()[0] == "S" else 0
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.005)
            change()
            with os.fdopen(reading, "rb") as pipe:
                said = pipe.read().lstrip(b".").decode().splitlines()
        self.assertRegex(said.pop(0), "note: '.*/void' is an empty folder")
        return process.returncode, said

    def test_changes(self):
        """Who is to blame is named, whatever its place among the others."""
        for name in "b", "d", "f":
            self.put(name)
        os.makedirs(os.path.join(self.model, "void"))
        path = self.path("model/")
        for change, name, what in (
                (lambda: self.put("a"), "a", "appeared"),
                (lambda: self.put("e"), "e", "appeared"),
                (lambda: self.put("g"), "g", "appeared"),
                (lambda: self.put("d", b"y"), "d", "changed")):
            with self.subTest(name):
                self.assertEqual(self.changed(change),
                                 (1, [f"mkentrofs: cannot pack '{path}{name}': it {what} while it was read"]))
                self.assertEqual(os.listdir(self.path("out")), [])
        for name in "a", "f":
            status, said = self.changed(lambda name=name: os.unlink(path + name))
            self.assertEqual((status, said),
                             (1, [f"mkentrofs: cannot open '{path}{name}': No such file or directory"]))

    def test_image_inside(self):
        """Also under its temporary name, where files cannot be without one."""
        if NO_NAMESPACE:
            self.skipTest(NO_NAMESPACE)
        self.put("a")
        self.image = os.path.join(self.model, "folder/image.efs")
        self.put("folder/b")
        done = subprocess.run([*WITHOUT_FD, PROGRAM, "--lossless", self.model, self.image], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(sorted(os.listdir(os.path.join(self.model, "folder"))), ["b", "image.efs"])
        self.extract()
        self.fails("it is a file of the model", "--lossless", "--force")


if __name__ == "__main__":
    unittest.main()
