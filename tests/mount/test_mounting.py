# SPDX-License-Identifier: MIT
"""Mounting and unmounting: background, options, bad images, signals, kill, several at once."""
import errno
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import unittest

from mountlib import (Mount, WAIT, contents, daemon_of, is_alive, is_mounted,
                      kill_if_alive, must, open_workshop, program, remove_mount, run, wait_until)

BIG = "quantized/model.safetensors"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def setUpModule():
    global shop, image, want
    shop = open_workshop()
    image = shop.pack(shop.path("model"), "model.efs")
    want = contents(os.path.join(shop.extract(image, "extracted"), BIG))


class WithMountPoint(unittest.TestCase):
    def setUp(self):
        self.path = tempfile.mkdtemp(prefix="entrofs-mount-")
        self.addCleanup(remove_mount, self.path)


class Background(WithMountPoint):
    def mount(self):
        """The daemon's process number; it is killed at the end of the test at the latest."""
        must(program("entrofs"), image, self.path)
        pid = daemon_of(self.path)
        self.addCleanup(kill_if_alive, pid)
        return pid

    def wait_for_end(self, pid):
        wait_until(lambda: not is_alive(pid), "the daemon's end")
        self.assertFalse(is_mounted(self.path))

    def error_of_listing(self):
        try:
            os.listdir(self.path)
        except OSError as error:
            return error.errno
        return 0

    def test_ready_at_once(self):
        """When entrofs returns, the files can be read; fusermount3 -u ends the daemon."""
        for _ in range(5):
            pid = self.mount()
            self.assertTrue(contents(os.path.join(self.path, BIG)) == want)
            must("fusermount3", "-u", self.path)
            self.wait_for_end(pid)

    def test_output_is_closed(self):
        """The daemon keeps no pipe open: $(entrofs ...) in a script returns."""
        with subprocess.Popen([program("entrofs"), image, self.path], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as process:
            out, _ = process.communicate(timeout=WAIT)
        self.assertEqual((process.returncode, out), (0, b""))

    def test_relative_paths(self):
        """A relative mount point and image; the daemon works in / and still unmounts."""
        shutil.copy(image, shop.path("relative.efs"))
        where = os.path.dirname(self.path)
        must(program("entrofs"), os.path.relpath(shop.path("relative.efs"), where),
             os.path.basename(self.path), cwd=where)
        pid = daemon_of(os.path.basename(self.path))
        self.assertTrue(contents(os.path.join(self.path, BIG)) == want)
        os.kill(pid, signal.SIGTERM)
        self.wait_for_end(pid)

    def test_signals_unmount(self):
        """SIGTERM and SIGINT unmount, also while a file is open."""
        for number in (signal.SIGTERM, signal.SIGINT):
            pid = self.mount()
            with open(os.path.join(self.path, "config.json"), "rb") as file:
                file.read(1)
                os.kill(pid, number)
                self.wait_for_end(pid)

    def test_kill_and_remount(self):
        """kill -9 leaves ENOTCONN; entrofs says what to do; after that it mounts again."""
        pid = self.mount()
        os.kill(pid, signal.SIGKILL)
        # ECONNABORTED comes first, for a request under way while the last thread dies.
        wait_until(lambda: self.error_of_listing() == errno.ENOTCONN, "ENOTCONN")
        done = run(program("entrofs"), image, self.path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("fusermount3 -uz", done.stderr)
        must("fusermount3", "-uz", self.path)
        self.mount()
        self.assertTrue(contents(os.path.join(self.path, BIG)) == want)


class Failures(WithMountPoint):
    """A failure: one line, non-zero exit, no mount, nothing left running."""

    def fails(self, reason, source=None, *words, code=1, target=None):
        source, target = source or image, target or self.path
        done = run(program("entrofs"), *words, source, target)
        self.assertEqual(done.returncode, code, done.stderr)
        lines = done.stderr.splitlines()
        self.assertRegex(lines[0], reason)
        if code == 1:
            self.assertEqual(len(lines), 1, done.stderr)
            self.assertTrue(lines[0].startswith(f"entrofs: cannot mount '{source}': "), lines[0])
        self.assertEqual(done.stdout, "")
        self.assertFalse(is_mounted(self.path))
        self.assertIsNone(daemon_of(self.path))

    def spoiled(self, change):
        data = bytearray(contents(image))
        change(data)
        with open(shop.path("spoiled.efs"), "wb") as file:
            file.write(data)
        return shop.path("spoiled.efs")

    def test_bad_images(self):
        """Wrong magic, truncated anywhere, damaged superblock, empty."""
        def flip(at):
            def change(data):
                data[at] ^= 1
            return change

        self.fails("not an entrofs image", self.spoiled(flip(0)))
        self.fails(".", self.spoiled(flip(100)))
        for size in (0, 100, 4095, 4096, os.stat(image).st_size // 2, os.stat(image).st_size - 1):
            self.fails(".", self.spoiled(lambda data, keep=size: data.__delitem__(slice(keep, None))))
        self.fails(".", image, "-o", "offset=64")

    def test_not_an_image(self):
        """Missing, a directory, a device, a named pipe."""
        self.fails("No such file", shop.path("nothing.efs"))
        self.fails("not a file", shop.folder)
        self.fails("not a file", "/dev/null")
        os.mkfifo(shop.path("pipe"))
        self.fails("not a file", shop.path("pipe"))
        if os.getuid() != 0:
            os.close(os.open(shop.path("secret"), os.O_CREAT, 0))
            self.fails("Permission denied", shop.path("secret"))

    def test_bad_mount_points(self):
        """Missing, or a file."""
        self.fails("mount point .*No such file", target=self.path + "/nothing")
        self.fails("mount point .*Not a directory", target=image)

    def test_usage(self):
        """Wrong usage: exit 2, and the offending word is named."""
        self.fails("'speling'", None, "-o", "ro,speling", code=2)
        self.fails("'what=5'", None, "-o", "what=5", code=2)
        self.fails("'remount'.* again", None, "-o", "remount", code=2)
        for word in ("uid=", "uid=me", "uid=-1", "uid=4294967295", "gid=1x", "umask=8",
                     "umask=7777", "offset=1z", "offset=-1", "offset=", "offset=9000000000G"):
            self.fails(f"'{word}'", None, "-o", word, code=2)
        done = run(program("entrofs"), image)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        done = run(program("entrofs"), "--nonsense", image, self.path)
        self.assertEqual(done.returncode, 2)
        self.assertIn("nonsense", done.stderr)

    def test_unknown_kernel(self):
        """ENTROFS_KERNEL with a name unknown here: an error that lists the names."""
        done = run(program("entrofs"), image, self.path, env={**os.environ, "ENTROFS_KERNEL": "x"})
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, "'x'.*scalar")

    def test_help_and_version(self):
        """--help and --version go to stdout and name what they should."""
        done = run(program("entrofs"), "--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for word in ("uid=", "offset=", "umask=", "allow_other", "fusermount3 -u"):
            self.assertIn(word, done.stdout)
        out = must(program("entrofs"), "--version", env={**os.environ, "ENTROFS_KERNEL": "scalar"})
        self.assertRegex(out, r"^entrofs \d+\.\d+\.\d+\n")
        self.assertIn("scalar", out)


class Options(unittest.TestCase):
    def test_offset(self):
        """An image that starts inside a larger file."""
        for offset, word in ((8192, "8192"), (8192, "8k"), (3 << 20, "3M"), (12345, "12345")):
            path = shop.path("larger")
            with open(path, "wb") as file:
                file.write(b"\xa5" * offset + contents(image) + b"\x5a" * 5000)
            with Mount(path, "-o", f"offset={word}") as mount:
                self.assertTrue(contents(mount / BIG) == want)

    def test_words_of_mount(self):
        """What mount(8) and fstab add is accepted."""
        with Mount(image, "-o", "ro,noatime,nosuid,nodev,noexec,_netdev,nofail,x-systemd.automount"):
            pass

    @unittest.skipIf(os.getuid() != 0 or not os.path.exists("/sbin/mount.fuse"),
                     "needs root and /sbin/mount.fuse")
    def test_mount_program(self):
        """mount -t fuse, as fstab has it; the words that mount(8) adds are accepted."""
        point = tempfile.mkdtemp(prefix="entrofs-mount-")
        self.addCleanup(remove_mount, point)
        must("mount", "-t", "fuse", f"{os.path.abspath(program('entrofs'))}#{image}", point,
             "-o", "ro,noauto,user,x-test,uid=42")
        self.addCleanup(kill_if_alive, daemon_of(point))
        self.assertTrue(contents(os.path.join(point, BIG)) == want)
        self.assertEqual(os.stat(os.path.join(point, BIG)).st_uid, 42)

    def test_odd_image_names(self):
        """Commas, spaces, backslashes and non-ASCII in the image's path."""
        for name in ("a,b.efs", "a b.efs", "a\\b.efs", "ä=1,ro.efs"):
            path = shop.path(name)
            os.symlink(image, path) if name.startswith("a,") else shutil.copy(image, path)
            with Mount(path) as mount:
                self.assertTrue(contents(mount / BIG) == want)

    def test_several_at_once(self):
        """One image mounted twice and another beside it, each serving its own bytes."""
        four = shop.pack(shop.path("model"), "four.efs", "--bits", "4")
        with Mount(image) as first, Mount(four) as second, Mount(image) as third:
            self.assertTrue(contents(first / BIG) == want == contents(third / BIG))
            self.assertLess(os.stat(second / BIG).st_size, len(want))
            self.assertTrue(contents(first / BIG) == want)

    def test_image_replaced_while_mounted(self):
        """A new image renamed over the old one does not disturb the mount."""
        path = shop.path("replaced.efs")
        shutil.copy(image, path)
        with Mount(path) as mount:
            with open(path + ".new", "wb") as file:
                file.write(b"something else")
            os.rename(path + ".new", path)
            self.assertTrue(contents(mount / BIG) == want)

    @unittest.skipIf(os.getuid() != 0, "needs root to become somebody else")
    def test_other_users(self):
        """allow_other lets others in, without it they stay out; umask= is enforced."""
        for words, inside in (((), False), (("-o", "allow_other"), True),
                              (("-o", "allow_other,umask=007"), False)):
            with Mount(image, *words) as mount:
                done = run(*NOBODY, "cat", mount / "config.json")
                self.assertEqual(done.returncode == 0, inside, (words, done.stderr))

    @unittest.skipIf(os.getuid() != 0, "the other tests show it already")
    def test_unprivileged(self):
        """Somebody without privileges mounts, reads and unmounts by means of fusermount3."""
        folder = tempfile.mkdtemp(prefix="entrofs-nobody-")
        self.addCleanup(shutil.rmtree, folder)
        point, node = os.path.join(folder, "mnt"), os.path.join(folder, "fuse")
        os.mkdir(point)
        words = [shutil.copy(path, folder)
                 for path in (program("entrofs"), image, shop.path("model/config.json"))]
        for path in (folder, point, *words):
            os.chown(path, 65534, 65534)
        prefix = ()
        if os.stat("/dev/fuse").st_mode & 0o006 != 0o006:  # a device of our own, in a namespace
            os.mknod(node, 0o666 | stat.S_IFCHR, os.stat("/dev/fuse").st_rdev)
            os.chmod(node, 0o666)
            prefix = ("unshare", "-m", "sh", "-c", 'mount --bind "$0" /dev/fuse && exec "$@"', node)
        if run(*prefix, *NOBODY, words[0], "--version").returncode:
            self.skipTest("an unprivileged user cannot run a program here")
        if run(*prefix, *NOBODY, "sh", "-c", ": < /dev/fuse").returncode:
            self.skipTest("an unprivileged user cannot open /dev/fuse here")
        script = ('trap "fusermount3 -uz $3 2> /dev/null" EXIT; $0 $1 $3 && cmp $3/config.json $2 &&'
                  ' stat -c %u:%a $3/config.json && fusermount3 -u $3 && ls $3')
        self.assertEqual(must(*prefix, *NOBODY, "sh", "-c", script, *words, point), "65534:444\n")
        done = run(*prefix, *NOBODY, words[0], words[1], "/")
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done.stderr)


if __name__ == "__main__":
    unittest.main()
