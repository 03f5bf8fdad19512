# SPDX-License-Identifier: MIT
"""Lossless images of trees that no image can be made of."""
import os
import subprocess
import unittest

from mklib import Case, run


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


if __name__ == "__main__":
    unittest.main()
