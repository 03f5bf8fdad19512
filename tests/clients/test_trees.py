# SPDX-License-Identifier: MIT
"""Programs that take a whole tree take that of a mount, all views included: what comes out is, byte for byte, what
fsck.entrofs extracts without a mount."""
import hashlib
import os
import shutil
import subprocess
import tarfile
import unittest

from clientlib import HOW, debian_environment, small_model
from mountlib import Mount, all_files, contents, must, open_workshop, run

VIEWS = "model,quantized,npy,npy-float"


def setUpModule():
    global shop, image, expected
    shop = open_workshop()
    image = shop.pack(small_model(shop)[0], "model.efs", f"--view={VIEWS}")
    folder = shop.extract(image, "extracted")
    expected = {name: hashlib.sha256(contents(os.path.join(folder, name))).hexdigest() for name in all_files(folder)}


class Trees(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mount = Mount(image).__enter__()
        cls.addClassCleanup(cls.mount.__exit__, None, None, None)

    def setUp(self):
        for folder in "quantized", "quantized/tensors", "npy", "npy-float":
            self.assertTrue(os.path.isdir(self.mount / folder), folder)

    def check_tree(self, folder):
        self.assertEqual(all_files(folder), sorted(expected))
        for name, digest in expected.items():
            self.assertEqual(hashlib.sha256(contents(os.path.join(folder, name))).hexdigest(), digest, name)

    def check_attributes(self, folder):
        """Of files and folders, the top included."""
        for where, folders, names in os.walk(self.mount.path):
            for name in [".", *folders, *names]:
                path = os.path.join(where, name)
                source, copy = os.stat(path), os.stat(os.path.join(folder, os.path.relpath(path, self.mount.path)))
                self.assertEqual((source.st_mode, source.st_mtime_ns), (copy.st_mode, copy.st_mtime_ns), path)

    def target(self):
        """A new folder, that can be removed whatever modes are copied into it."""
        path = shop.path(self.id())
        self.addCleanup(must, "rm", "-r", path)
        self.addCleanup(must, "chmod", "-R", "u+w", path)
        return path

    def test_cp(self):
        copy = self.target()
        must("cp", "-a", self.mount.path, copy)
        self.check_tree(copy)
        self.check_attributes(copy)

    def test_tar(self):
        """With and without a search for holes; the archive has all there is, and unpacks to the same."""
        for options in [], ["--sparse"]:
            with self.subTest(options=options):
                archive, copy = shop.path("archive.tar"), self.target()
                os.mkdir(copy)
                must("tar", "-C", self.mount.path, *options, "-cf", archive, ".")
                with tarfile.open(archive) as tar:
                    digests = {os.path.normpath(member.name): hashlib.sha256(tar.extractfile(member).read()).hexdigest()
                               for member in tar if member.isfile()}
                self.assertEqual(digests, expected)
                self.assertEqual(must("tar", "-C", self.mount.path, "-df", archive), "")
                must("tar", "-C", copy, "-xpf", archive)
                self.check_tree(copy)
                self.doCleanups()

    def test_sha256sum(self):
        """It accepts every file, and tells which one of them a wrong sum is for."""
        sums, victim = shop.path("sums"), sorted(expected)[len(expected) // 2]

        def check(digests):
            with open(sums, "w", encoding="utf-8") as file:
                file.writelines(f"{digest}  {name}\n" for name, digest in digests.items())
            return run("sha256sum", "-c", sums, cwd=self.mount.path)

        done = check(expected)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, "".join(f"{name}: OK\n" for name in expected))
        wrong = check({**expected, victim: "0" * 64})
        self.assertEqual(wrong.returncode, 1)
        self.assertEqual(wrong.stdout.count("FAILED"), 1)
        self.assertIn(f"{victim}: FAILED\n", wrong.stdout)

    def rsync(self, *options):
        done = subprocess.run(["rsync", *options], env=debian_environment(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=120, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_rsync(self):
        """By checksums: a copy has nothing to be transferred, but for what has changed behind sizes and times."""
        if not shutil.which("rsync", path=debian_environment()["PATH"]):
            self.skipTest(f"no rsync: {HOW}")
        copy = self.target()
        source = self.mount.path + "/"
        options = "-a", "-c", "--itemize-changes", "--no-whole-file", "--modify-window=-1"  # times to the nanosecond
        self.rsync(*options, source, copy)
        self.check_tree(copy)
        self.check_attributes(copy)
        self.assertEqual(self.rsync(*options, source, copy), "")
        victim = os.path.join(copy, "quantized/tensors/noise.u8")
        before = os.stat(victim)
        os.chmod(victim, 0o644)
        with open(victim, "r+b") as file:
            file.seek(70_000)
            byte = file.read(1)[0]
            file.seek(70_000)
            file.write(bytes([byte ^ 1]))
        os.chmod(victim, before.st_mode)
        os.utime(victim, ns=(before.st_mtime_ns, before.st_mtime_ns))
        self.assertRegex(self.rsync(*options, source, copy), r"^>fc\S* quantized/tensors/noise\.u8\n$")
        self.check_tree(copy)


if __name__ == "__main__":
    unittest.main()
