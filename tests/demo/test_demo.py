# SPDX-License-Identifier: MIT
"""The whole way, through the programs as a user runs them: the demo, and a model damaged in its image."""
import os
import shutil
import subprocess
import tempfile
import unittest

import reference

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
MODEL = os.path.join(ROOT, "runtime-demo", "model")
DEMO = os.path.join(ROOT, "runtime-demo", "demo.sh")


def run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=300, text=True)


def program(name):
    return os.path.join(BUILD, name)


def need_fuse(test):
    if not os.access("/dev/fuse", os.R_OK | os.W_OK) or not shutil.which("fusermount3"):
        test.skipTest("/dev/fuse cannot be used")


class Demo(unittest.TestCase):
    def check(self, done):
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("\nIt was the first time I had been to see the Count", done.stdout)
        for bits in ("uint8", "uint4"):
            self.assertRegex(done.stdout, rf"plain {bits} +.* B")
        self.assertIn("model.embed_tokens.weight.u8", done.stdout)
        self.assertRegex(done.stderr, r"speed +[0-9.]+ tokens/s")

    def test_mounted(self):
        need_fuse(self)
        done = run(DEMO, BUILD)
        self.check(done)
        self.assertRegex(done.stdout, r"mounted in [0-9.]+ ms")
        self.assertIn("\n56 tensors, 6661440 bytes: equal\n", done.stdout)
        self.assertTrue(done.stdout.endswith("unmounted\n"), done.stdout)

    def test_without_fuse(self):
        """With a plain file in the place of /dev/fuse the extracted folder stands in."""
        hide = ["unshare", "--map-root-user", "--mount", "sh", "-c",
                'mount --bind "$0" /dev/fuse && exec "$@"', os.path.abspath(__file__)]
        if not os.path.exists("/dev/fuse"):
            hide = []
        elif run(*hide, "true").returncode != 0:
            self.skipTest("/dev/fuse cannot be hidden here")
        done = run(*hide, DEMO, BUILD)
        self.check(done)
        self.assertIn("/dev/fuse cannot be used here", done.stdout)
        self.assertNotIn("mounted in", done.stdout)


class Agreement(unittest.TestCase):
    def test_packed_and_independently_quantized_models_give_the_same_logits(self):
        with tempfile.TemporaryDirectory(prefix="entrofs-demo-") as work:
            for bits in (8, 4):
                image, packed, own = (os.path.join(work, f"{name}{bits}") for name in ("image", "packed", "own"))
                made = run(program("mkentrofs"), f"--bits={bits}", MODEL, image)
                self.assertEqual(made.returncode, 0, made.stderr)
                self.assertEqual(run(program("fsck.entrofs"), f"--extract={packed}", image).returncode, 0)
                reference.write_folder(MODEL, own, bits)
                logits = []
                for folder in (packed, own):
                    done = run(program("entrofs-run"), folder, "-pIt was a dark", "-n0", f"--logits={folder}.out")
                    self.assertEqual(done.returncode, 0, done.stderr)
                    with open(folder + ".out", "rb") as file:
                        logits.append(file.read())
                self.assertEqual(len(logits[0]) % (4 * 4096), 0)
                self.assertEqual(logits[0], logits[1])


class Damage(unittest.TestCase):
    def test_a_damaged_weight_is_an_error_not_a_text(self):
        """One flipped byte of a stream: the runtime gets an error for that page, never a wrong weight."""
        need_fuse(self)
        with tempfile.TemporaryDirectory(prefix="entrofs-demo-") as work:
            image, mount = os.path.join(work, "model.efs"), os.path.join(work, "mnt")
            os.mkdir(mount)
            self.assertEqual(run(program("mkentrofs"), MODEL, image).returncode, 0)
            with open(image, "r+b") as file:
                file.seek(300_000)  # in the embedding, of which the output layer reads every row
                byte = file.read(1)[0]
                file.seek(300_000)
                file.write(bytes([byte ^ 0x10]))
            mounted = run(program("entrofs"), image, mount)
            self.assertEqual(mounted.returncode, 0, mounted.stderr)
            logits = os.path.join(work, "logits")
            try:
                for arguments, text in ((["-pIt was"], "It was\n"), (["-pIt was", "-j3"], "It was\n"), ([], ""),
                                        (["-pIt was\n", f"--logits={logits}"], "It was\n"),
                                        ([f"--perplexity={os.path.join(MODEL, 'config.json')}"], "")):
                    done = run(program("entrofs-run"), mount, *arguments)
                    self.assertEqual(done.returncode, 1)
                    self.assertEqual(done.stderr, f"entrofs-run: cannot read '{mount}/quantized/tensors/"
                                     "model.embed_tokens.weight.u8': Input/output error\n")
                    self.assertEqual(done.stdout, text)
                self.assertEqual([name for name in os.listdir(work) if name.startswith("logits")], [])
            finally:
                self.assertEqual(run("fusermount3", "-u", mount).returncode, 0)


if __name__ == "__main__":
    unittest.main()
