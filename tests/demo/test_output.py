# SPDX-License-Identifier: MIT
"""How entrofs-run ends when its output, its reader or its user does: no text is lost, none is made up."""
import os
import signal
import subprocess
import sys
import unittest

from folders import NOVELLA, PROGRAM, Folders, run


class Output(Folders):
    def test_full_disk(self):
        folder = self.folder(NOVELLA, 8)
        text = os.path.join(folder, "config.json")
        for arguments in (["-pIt was"], ["-n200"], ["--tokenize", "-pIt was"], [f"--perplexity={text}"], [f"--perplexity={text}", "--json"]):
            with open("/dev/full", "wb") as full:
                done = run(folder, *arguments, stdout=full)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr, b"entrofs-run: cannot write the text: No space left on device\n")

    def test_reader_is_gone(self):
        """Quiet: by the signal that says so, or where that is ignored by the exit status."""
        folder = self.folder(NOVELLA, 8)
        for ignore, status in ((False, -signal.SIGPIPE), (True, 1)):
            for arguments in (["-pIt was", "-n200"], ["--tokenize", "-pIt was"]):
                reader, writer = os.pipe()
                os.close(reader)
                done = run(folder, *arguments, stdout=writer, restore_signals=not ignore)  # Python ignores SIGPIPE
                os.close(writer)
                self.assertEqual((done.returncode, done.stderr), (status, b""))

    def test_tokens_come_one_by_one(self):
        """Each is written when it is known, not when there are many."""
        with subprocess.Popen([PROGRAM, self.folder(NOVELLA, 8), "-pIt was", "-n200"], stdout=subprocess.PIPE) as process:
            sizes = []
            while piece := os.read(process.stdout.fileno(), 65536):
                sizes.append(len(piece))
        self.assertEqual(process.returncode, 0)
        self.assertEqual(sizes[0], len("It was"))
        self.assertGreater(len(sizes), 20)

    def interrupt(self, number, *arguments, **options):
        with subprocess.Popen([PROGRAM, self.folder(NOVELLA, 4), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              **options) as process:
            text = os.read(process.stdout.fileno(), 6)
            process.send_signal(number)
            rest, errors = process.communicate(timeout=60)
        self.assertEqual((text, errors), (b"It was", b""))
        return process.returncode, rest

    def test_interrupted(self):
        """The text's last line is ended, and the process as by any such signal."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            for threads in (1, 3):
                status, rest = self.interrupt(number, "-pIt was", "-n250", f"-j{threads}")
                self.assertEqual(status, -number)
                self.assertTrue(rest.endswith(b"\n"), rest)

    def test_ignored_signals_stay_so(self):
        status, rest = self.interrupt(signal.SIGHUP, "-pIt was", "-n20",
                                      preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        self.assertEqual(status, 0)
        self.assertTrue(rest.endswith(b"\n"))

    def test_logits_are_whole_or_not_there(self):
        folder = self.folder(NOVELLA, 8)
        out = os.path.join(self.scratch.name, "logits")
        done = run(folder, "-pIt was", "-n0", f"--logits={out}")
        self.assertEqual((done.returncode, os.path.getsize(out)), (0, 2 * 4096 * 4))
        self.assertFalse(os.path.exists(out + ".part"))
        with open(out, "wb") as file:
            file.write(b"old")
        broken = self.copy(self.folder(NOVELLA, 8, keep=lambda name: True))
        self.replace(broken, "quantized/tensors/model.norm.weight.bf16", b"\xc0\x7f" * 288)
        with open("/dev/full", "wb") as full:
            self.assertEqual(run(folder, "-pIt was", f"--logits={out}", stdout=full).returncode, 1)
        with open(out, "rb") as file:
            self.assertEqual(file.read(), b"old")
        self.assertFalse(os.path.exists(out + ".part"))
        for path, reason in ((os.path.join(self.scratch.name, "no", "where"), "No such file or directory"),
                             (self.scratch.name, "Is a directory"), ("/dev/full", "No space left on device")):
            done = run(folder, "-pIt was", f"--logits={path}")
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr.decode(), f"entrofs-run: cannot write '{path}': {reason}\n")
        self.assertTrue(os.path.exists("/dev/full"))


if __name__ == "__main__":
    sys.exit(unittest.main())
