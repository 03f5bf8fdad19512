# SPDX-License-Identifier: MIT
"""mkentrofs: where the image goes. It is there whole or not at all, whatever is in the way, breaks,
or ends the run; what it replaces, and what it leaves alone."""
import fcntl
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import time
import unittest

import numpy as np

from mklib import PROGRAM, Case, is_packing, read, run, why_no_namespace
from modellib import Tensor

NO_NAMESPACE = why_no_namespace()
# A file without a name gets one through /proc/self/fd: where there is none, mkentrofs makes one with
# a temporary name. The rest of /proc is for the sanitizers, which look for leaks with it.
WITHOUT_FD = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs none /proc/$$/fd && exec "$@"', "sh")


class Small(Case):
    def setUp(self):
        super().setUp()
        self.write({"w": Tensor.of("F32", np.eye(3))})

    def put(self, text="precious"):
        with open(self.image, "w", encoding="ascii") as file:
            file.write(text)


class Targets(Small):
    def test_existing_targets(self):
        self.put()
        self.fails("it exists .--force", left=["model.efs"])
        self.assertEqual(read(self.image), b"precious")
        self.pack("--force")
        self.assertGreater(os.path.getsize(self.image), 4096)

    def test_folders_and_devices(self):
        os.makedirs(self.image)
        for options in [], ["--force"]:
            self.fails("cannot create '.*model.efs': it is a folder", *options, left=["model.efs"])
        os.rmdir(self.image)
        os.mkfifo(self.image)
        self.fails("it exists and is not a regular file", "--force", left=["model.efs"])
        self.assertTrue(stat.S_ISFIFO(os.stat(self.image).st_mode))
        os.unlink(self.image)
        self.image = "/dev/null"
        self.fails("cannot create '/dev/null': it exists and is not a regular file", "--force")

    def test_links_are_replaced_and_what_they_name_is_not(self):
        """--force puts the image in the place of the name, for symbolic and hard links alike."""
        other = self.path("other")
        for make in os.symlink, os.link:
            with open(other, "w", encoding="ascii") as file:
                file.write("precious")
            make(other, self.image)
            self.fails("it exists", left=["model.efs"])
            self.pack("--force")
            self.assertEqual(read(other), b"precious")
            self.assertFalse(os.path.islink(self.image))
            os.unlink(self.image)
        os.symlink("nowhere", self.image)
        self.fails("it exists", left=["model.efs"])
        self.pack("--force")
        self.assertFalse(os.path.islink(self.image))

    def test_a_new_file_with_usual_permissions(self):
        """Neither a read-only predecessor nor its permissions matter: the folder's do."""
        self.put()
        os.chmod(self.image, 0o400)
        before = os.umask(0o027)
        try:
            self.pack("--force")
        finally:
            os.umask(before)
        self.assertEqual(stat.S_IMODE(os.stat(self.image).st_mode), 0o640)

    def test_a_reader_keeps_the_old_image(self):
        """Whoever has the old image open, as a mount has, goes on reading it."""
        self.pack()
        with open(self.image, "rb") as file:
            before = read(self.image)
            self.pack("--force", "--bits=4")
            self.assertEqual(file.read(), before)
        self.assertNotEqual(read(self.image), before)

    def test_a_failure_leaves_the_old_image(self):
        self.pack()
        before = read(self.image)
        self.write({"w": Tensor.of("F32", np.full((3, 3), np.nan))})
        self.fails("NaN", "--force", left=["model.efs"])
        self.assertEqual(read(self.image), before)

    def test_targets_that_cannot_be(self):
        for name, message in (("out/missing/model.efs", "cannot create '.*model.efs': No such file"),
                              ("out/", "it names a folder"),
                              ("model/model.safetensors/x", "Not a directory"),
                              ("out/" + "n" * 256, "File name too long")):
            self.image = self.path(name)
            self.fails(message)
        self.image = "-"
        self.fails("cannot go to standard output", status=2)

    def test_a_folder_that_may_not_be_written(self):
        os.chmod(self.folder, 0o755)
        os.chmod(self.path("out"), 0o555)
        self.addCleanup(os.chmod, self.path("out"), 0o755)
        nobody = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
        try:
            run("--version", **nobody)
        except PermissionError:
            self.skipTest("another user may not run this build")
        done = run(self.model, self.image, **nobody)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "cannot create .*: Permission denied")

    def test_inside_the_model_folder(self):
        """A first run may leave its image there, under whatever name; a second one takes *.efs for
        images, and anything else for a file of the model."""
        self.image = os.path.join(self.model, "mine")
        self.pack()
        done = run("--force", self.model, self.image)
        self.assertEqual(done.returncode, 1)
        self.assertIn("it is a file of the model", done.stderr)


class Breaks(Case):
    """The image cannot be written to its end."""

    def setUp(self):
        super().setUp()
        self.write_large()

    def test_a_full_disk(self):
        if NO_NAMESPACE:
            self.skipTest(NO_NAMESPACE)
        script = ('mount -t tmpfs -o size=$1 none "$2" || exit 99; out=$2; shift 2; "$@"; '
                  'echo status $?; ls -A "$out"')
        for size in "4k", "64k", "1m":
            done = subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", size, self.path("out"),
                                   PROGRAM, self.model, self.image], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=60, check=False)
            self.assertEqual(done.stdout, "status 1\n", done.stderr)
            self.assertRegex(done.stderr, "^mkentrofs: cannot write '.*model.efs': "
                                          ".*No space left on device.*\n$")

    def test_a_limit_of_size(self):
        """RLIMIT_FSIZE: an error as any other, not SIGXFSZ."""
        done = subprocess.run(["sh", "-c", 'ulimit -f 2048; exec "$@"', "sh", PROGRAM, self.model,
                               self.image], stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "^mkentrofs: cannot write '.*model.efs': .*File too large.*\n$")
        self.assertEqual(os.listdir(self.path("out")), [])

    def test_figures_that_cannot_be_printed(self):
        """The image is in place, the line says so, and the exit status is none of the others."""
        self.write({"w": Tensor.of("F32", np.eye(3))})
        for options in [], ["--json"], ["--verbose"]:
            with open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run([PROGRAM, *options, "--force", self.model, self.image],
                                      stdout=full, stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual(done.returncode, 3)
            self.assertRegex(done.stderr, "^mkentrofs: cannot write 'standard output': No space left "
                                          "on device; the image '.*model.efs' is made\n$")
            self.extract()

    def test_closed_descriptors(self):
        """What is printed never ends up in a file that took the number of a closed descriptor."""
        self.write({"w": Tensor.of("F32", np.eye(3))})
        self.pack()
        good = read(self.image)
        weights = os.path.join(self.model, "model.safetensors")
        for closed, status in ("<&-", 0), (">&-", 3), ("2>&-", 0), ("<&- >&- 2>&-", 3):
            done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", PROGRAM, "--force", "-v",
                                   weights, self.image], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, check=False)
            self.assertEqual(done.returncode, status, closed)
            self.assertEqual(read(self.image), good, closed)


class Signals(Case):
    def setUp(self):
        super().setUp()
        self.write_large()

    def test_nothing_is_left_behind(self):
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL:
            process = self.start(until=is_packing)
            process.send_signal(number)
            said = self.resume(process)
            self.assertEqual(process.returncode, -number)
            self.assertEqual(os.listdir(self.path("out")), [])
            if number != signal.SIGKILL:
                self.assertEqual(said, f"mkentrofs: cannot create '{self.image}': ended by "
                                       f"{number.name}\n")

    def test_an_old_image_survives(self):
        with open(self.image, "w", encoding="ascii") as file:
            file.write("precious")
        process = self.start("--force", until=is_packing)
        process.send_signal(signal.SIGINT)
        self.resume(process)
        self.assertEqual((read(self.image), os.listdir(self.path("out"))), (b"precious", ["model.efs"]))

    def test_nohup(self):
        """A signal that the caller had ignored stays ignored."""
        process = self.start(until=is_packing,
                             preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        process.send_signal(signal.SIGHUP)
        said = self.resume(process)
        self.assertEqual((process.returncode, said), (0, ""))
        self.assertEqual(os.listdir(self.path("out")), ["model.efs"])

    def test_nobody_reads_what_is_printed(self):
        """A closed pipe ends the run as it ends any filter, but only once the image is there."""
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as pipe:
            done = subprocess.run([PROGRAM, self.model, self.image], stdout=pipe, check=False,
                                  stderr=subprocess.PIPE)
            self.assertEqual((done.returncode, done.stderr), (-signal.SIGPIPE, b""))
            self.extract()

    def left_behind(self):
        return [name for name in os.listdir(self.path("out")) if name != "model.efs"]

    def start_named(self):
        return self.start(wrap=WITHOUT_FD,
                          until=lambda process: self.left_behind() and is_packing(process))

    def test_a_file_system_without_unnamed_files(self):
        """There a temporary name shows, and signals remove it."""
        if NO_NAMESPACE:
            self.skipTest(NO_NAMESPACE)
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            process = self.start_named()
            process.send_signal(number)
            self.resume(process)
            self.assertEqual(process.returncode, -number)
            self.assertEqual(os.listdir(self.path("out")), [])

    def test_a_run_that_goes_on_is_left_alone(self):
        if NO_NAMESPACE:
            self.skipTest(NO_NAMESPACE)
        first = self.start_named()
        second = self.pack()
        self.assertEqual(second.stderr, "")
        self.assertEqual(len(self.left_behind()), 1)
        image = read(self.image)
        self.assertIn("it exists", self.resume(first))
        self.assertEqual((first.returncode, read(self.image)), (1, image))
        self.assertEqual(os.listdir(self.path("out")), ["model.efs"])


TEMPORARY = r"\.model\.efs\.[0-9a-f]{16}\.entrofs"


class Killed(Case):
    """What SIGKILL leaves where a file needs a name: the next run for the same target removes it, and
    nothing else."""

    def setUp(self):
        super().setUp()
        if NO_NAMESPACE:
            self.skipTest(NO_NAMESPACE)
        self.write_large()
        self.out = self.path("out")

    def left(self):
        return sorted(name for name in os.listdir(self.out) if name != "model.efs")

    def start_named(self, wrap=WITHOUT_FD):
        before = len(self.left())
        return self.start("--force", wrap=wrap,
                          until=lambda process: len(self.left()) > before and is_packing(process))

    def kill(self, process):
        process.kill()
        self.resume(process)
        self.assertEqual(process.returncode, -signal.SIGKILL)

    def test_the_next_run_removes_it(self):
        for wrap in WITHOUT_FD, ():
            self.kill(self.start_named())
            found, = self.left()
            self.assertRegex(found, f"^{TEMPORARY}$")
            subprocess.run([*wrap, PROGRAM, "--force", self.model, self.image], check=True,
                           stdout=subprocess.DEVNULL)
            self.assertEqual(os.listdir(self.out), ["model.efs"])
            os.unlink(self.image)

    def test_a_failing_run_removes_it_too(self):
        self.kill(self.start_named())
        self.write({"w": Tensor.of("F32", np.full((3, 3), np.nan))})
        self.fails("NaN")

    def test_of_two_packers_one_is_killed(self):
        """The file of the other, which still runs, stays, and becomes the image."""
        dead, alive = self.start_named(), self.start_named()
        before = set(self.left())
        self.kill(dead)
        self.pack("--bits=4")
        self.assertEqual(len(self.left()), 1)
        self.assertLess(set(self.left()), before)
        four = read(self.image)
        self.assertEqual(self.resume(alive), "")
        self.assertEqual((alive.returncode, self.left()), (0, []))
        self.assertNotEqual(read(self.image), four)
        self.extract()

    def test_other_files_stay(self):
        """Only regular files with exactly such a name, for this target, that nobody has locked."""
        number = "0123456789abcdef"
        left = f".model.efs.{number}.entrofs"
        others = [f".model.efs.{number}", ".model.efs.entrofs", f".other.efs.{number}.entrofs",
                  f".model.efs.x.{number}.entrofs", f".model.efs.{number[1:]}g.entrofs",
                  f"model.efs.{number}.entrofs", f".model.efs.{number}.entrofs~"]
        for name in [left, *others]:
            with open(os.path.join(self.out, name), "w", encoding="ascii") as file:
                file.write(name)
        os.mkdir(os.path.join(self.out, f".model.efs.{number[::-1]}.entrofs"))
        os.mkfifo(os.path.join(self.out, f".model.efs.{'a' * 16}.entrofs"))
        os.symlink(others[0], os.path.join(self.out, f".model.efs.{'b' * 16}.entrofs"))
        locked = open(os.path.join(self.out, f".model.efs.{'c' * 16}.entrofs"), "w", encoding="ascii")
        self.addCleanup(locked.close)
        fcntl.flock(locked, fcntl.LOCK_SH)
        before = self.left()
        self.pack()
        self.assertEqual(self.left(), [name for name in before if name != left])

    def test_many_packers_that_are_killed(self):
        """Whatever the moment: the name always has a whole image, and in the end nothing else is left."""
        self.write({"w": Tensor.of("F32", np.eye(64))})
        self.pack()
        good, chance = read(self.image), random.Random(9)
        command = [*WITHOUT_FD, PROGRAM, "--force", "--jobs=1", self.model, self.image]
        for _ in range(12):
            packers = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                       for _ in range(6)]
            for process in packers[:3]:
                time.sleep(chance.random() * 0.01)
                process.kill()
            for process in packers:
                said = process.communicate(timeout=60)[1]
                self.assertIn(process.returncode, (0, -signal.SIGKILL), said)
            self.assertEqual([process.returncode for process in packers[3:]], [0] * 3)
            self.assertEqual(read(self.image), good)
        self.pack("--force")
        self.assertEqual((self.left(), read(self.image)), ([], good))

    def test_a_file_system_that_has_no_unnamed_files(self):
        """The same with /proc in place, on a FUSE file system as bindfs(1) makes it."""
        if not shutil.which("bindfs"):
            self.skipTest("no bindfs")
        below = self.path("below")
        os.mkdir(below)
        done = subprocess.run(["bindfs", "--no-allow-other", below, self.out], check=False,
                              stderr=subprocess.PIPE, text=True)
        if done.returncode:
            self.skipTest(f"bindfs: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["fusermount3", "-u", self.out], check=True)
        with self.assertRaises(OSError):
            os.close(os.open(self.out, os.O_TMPFILE | os.O_RDWR))
        alive = self.start_named(())
        self.kill(self.start_named(()))
        self.assertEqual(len(self.left()), 2)
        self.pack()
        self.assertEqual(len(self.left()), 1)
        self.assertEqual((self.resume(alive), alive.returncode, self.left()), ("", 0, []))
        self.extract()


if __name__ == "__main__":
    unittest.main()
