# SPDX-License-Identifier: MIT
"""The progress line of mkentrofs and fsck.entrofs on a real terminal: what it fits into, what it says, and
what it leaves behind. A terminal is emulated as far as the programs use one."""
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

import numpy as np

from mklib import BUILD, PROGRAM, Case
from modellib import Tensor

FSCK = os.path.join(BUILD, "fsck.entrofs")


class Screen:
    """What a terminal shows; frames are the progress lines that it has shown."""

    def __init__(self, columns):
        self.columns, self.rows, self.column = columns, [""], 0
        self.wrapped = False
        self.frames = []  # (text, width of the terminal at that time)

    def feed(self, text):
        for part in re.findall(r"\x1b\[K|[\r\n]|[^\x1b\r\n]", text):
            row = self.rows[-1]
            if part == "\r":
                self.column = 0
            elif part == "\n":
                self.rows.append("")
                self.column = 0
            elif part == "\x1b[K":
                self.rows[-1] = row[:self.column]
                if self.rows[-1]:
                    self.frames.append((self.rows[-1], self.columns))
            else:
                if self.column == self.columns:
                    self.wrapped = True
                    self.rows.append("")
                    row, self.column = "", 0
                self.rows[-1] = row[:self.column] + part + row[self.column + 1:]
                self.column += 1


class Terminal(Case):
    def setUp(self):
        super().setUp()
        self.master, slave = os.openpty()
        self.slave = os.fdopen(slave, "rb", buffering=0)
        self.addCleanup(os.close, self.master)
        self.addCleanup(self.slave.close)

    def resize(self, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))

    def show(self, command, columns=80, at_first=None):
        """Runs a command on the terminal until it ends; its exit status and the screen. at_first is called
        with the process and the screen once a progress line has been seen, while the process is stopped."""
        def take_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.resize(columns)
        screen, text = Screen(columns), ""
        process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                   start_new_session=True, preexec_fn=take_terminal)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        deadline = time.monotonic() + 120
        while True:
            ended = process.poll() is not None
            ready = select.select([self.master], [], [], 0 if ended else 0.02)[0]
            if ready:
                text += os.read(self.master, 65536).decode()
                # A sequence may have been cut in two.
                whole = re.match(r"(?s)(.*?)(\x1b\[?)?\Z", text)
                screen.feed(whole[1])
                text = whole[2] or ""
            elif ended:
                break
            self.assertLess(time.monotonic(), deadline)
            if screen.frames and at_first:
                process.send_signal(signal.SIGSTOP)
                at_first(process, screen)
                at_first = None
                process.send_signal(signal.SIGCONT)
        return process.returncode, screen

    def check_clean(self, screen, lines):
        """Nothing of the progress line is left, and the cursor is where a prompt belongs."""
        self.assertEqual(screen.column, 0)
        self.assertEqual(screen.rows[-1], "")
        self.assertEqual(len(screen.rows) - 1, lines, screen.rows)
        for row in screen.rows:
            self.assertNotRegex(row, r"\[[#-]+\]|left$|\^C|^(pack|verify|sync|check)ing")


    def write_long(self):
        """A sparse model that takes a second or so, whatever is done with it."""
        size = 768 << 20
        header = ('{"zeros":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (size, size)).encode()
        with open(os.path.join(self.model, "model.safetensors"), "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            file.truncate(file.tell() + size)

    def press_interrupt(self, process, _):
        process.send_signal(signal.SIGCONT)
        os.write(self.master, b"\x03")


class Packing(Terminal):
    def setUp(self):
        super().setUp()
        self.write_large()
        self.command = [PROGRAM, "--force", self.model, self.image]

    def test_every_width(self):
        """The line is at most as wide as the terminal but one column, so that none wraps, and it is as
        telling as it can be; at the end it is gone."""
        for columns, pattern in ((160, r"\w+ +\d+ % \[[#-]{50}\]"), (80, r"\w+ +\d+ % \[[#-]{48}\]"),
                                 (40, r"\w+ +\d+ % \[[#-]{8}\]"), (20, r"\w+ \d+ %"), (6, r"\d+ %")):
            status, screen = self.show(self.command, columns)
            self.assertEqual(status, 0)
            self.assertTrue(screen.frames)
            for frame, _ in screen.frames:
                self.assertLess(len(frame), columns)
                self.assertRegex(frame, f"^{pattern}")
            self.assertEqual((screen.column, screen.rows[-1]), (0, ""))
            if columns == 160:
                self.check_clean(screen, 7)
        status, screen = self.show(self.command, 2)
        self.assertEqual((status, screen.frames), (0, []))

    def test_a_new_width(self):
        """A terminal that is made narrower, or wider, is asked anew for every line (no SIGWINCH is needed)."""
        for before, after in (80, 30), (30, 100):
            def change(_, screen, after=after):
                self.resize(after)
                screen.columns = after
            status, screen = self.show(self.command, before, change)
            self.assertEqual(status, 0)
            changed = [frame for frame, columns in screen.frames if columns == after]
            self.assertTrue(changed)
            self.assertLess(max(map(len, changed)), after)
            self.assertGreater(len(changed[-1]), 8 if after == 30 else 60)

    def test_the_time_that_is_left(self):
        """It is told once there is a pace to tell it from, and percentages never fall."""
        self.write_long()
        status, screen = self.show(self.command, at_first=lambda process, screen: time.sleep(1.1))
        self.assertEqual(status, 0)
        self.assertNotIn("left", screen.frames[0][0])
        self.assertRegex(screen.frames[-1][0], r"\] +\d+:\d\d left$")
        shares = [int(re.search(r"(\d+) %", frame)[1]) for frame, _ in screen.frames]
        self.assertEqual(shares, sorted(shares))
        phases = [frame.split()[0] for frame, _ in screen.frames]
        self.assertEqual(list(dict.fromkeys(phases)), ["packing", "verifying", "syncing"])

    def test_none_on_a_pipe(self):
        """Neither where both outputs are pipes, nor where only the standard error is."""
        for options in {"stdout": subprocess.PIPE}, {"stdout": self.slave}:
            done = subprocess.run(self.command, stderr=subprocess.PIPE, check=True, **options)
            self.assertEqual(done.stderr, b"")
            self.assertNotIn(b"\r", done.stdout or b"")

    def test_an_error(self):
        """The message stands alone on its line."""
        values = np.arange(1 << 20, dtype=np.float32).reshape(1024, 1024)
        values[1000, 1000] = np.nan
        good = np.random.default_rng(1).standard_normal((4096, 1024)).astype(np.float32)
        self.write({"good": Tensor.of("F32", good), "bad": Tensor.of("F32", values)})
        status, screen = self.show(self.command, 200)
        self.assertEqual(status, 1)
        self.check_clean(screen, 1)
        self.assertRegex(screen.rows[0], "^mkentrofs: cannot quantize .*'bad' has a NaN")

    def test_interrupted(self):
        """Ctrl-C: the same, whatever the other threads do meanwhile."""
        self.write_long()
        for jobs in 1, 4:
            status, screen = self.show([*self.command, f"--jobs={jobs}"], 200, self.press_interrupt)
            self.assertEqual(status, -signal.SIGINT)
            self.check_clean(screen, 1)
            self.assertEqual(screen.rows[0],
                             f"mkentrofs: cannot create '{self.image}': ended by SIGINT")
            self.assertEqual(os.listdir(self.path("out")), [])

    def test_interrupted_rehearsal(self):
        """Ctrl-C where nothing is written ends it as any other program, on a clean line."""
        self.write_long()
        command = [PROGRAM, "--lossless", "--dry-run", self.model]  # reads and codes everything, so it takes a while
        status, screen = self.show(command, 200, self.press_interrupt)
        self.assertEqual(status, -signal.SIGINT)
        self.check_clean(screen, 0)


class Checking(Terminal):
    def setUp(self):
        super().setUp()
        self.write_long()
        self.pack("--no-verify")

    def test_deep(self):
        status, screen = self.show([FSCK, "--deep", self.image], 200)
        self.assertEqual(status, 0)
        self.assertTrue(screen.frames)
        self.check_clean(screen, 1)

    def test_interrupted(self):
        """Ctrl-C in the middle ends it as any other program, on a clean line."""
        for jobs in 1, 4:
            status, screen = self.show([FSCK, "--deep", f"--jobs={jobs}", self.image], 200, self.press_interrupt)
            self.assertEqual(status, -signal.SIGINT)
            self.check_clean(screen, 0)

    def test_none_on_a_pipe(self):
        done = subprocess.run([FSCK, "--deep", self.image], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=True)
        self.assertEqual(done.stderr, b"")


if __name__ == "__main__":
    unittest.main()
