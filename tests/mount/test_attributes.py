# SPDX-License-Identifier: MIT
"""Names, attributes and refusals: what stat, ls, df and attempts to write see."""
import errno
import os
import stat
import unittest

from mountlib import Mount, all_files, must, open_workshop, run
import modellib

TENSORS = 5000


def setUpModule():
    global shop, image, mount
    shop = open_workshop()
    image = shop.pack(shop.path("model"), "model.efs")
    mount = Mount(image).__enter__()
    unittest.addModuleCleanup(mount.__exit__, None, None, None)


class Attributes(unittest.TestCase):
    def test_files(self):
        """Mode, owner, links, times, blocks of every file."""
        time = os.stat(image).st_mtime_ns
        for name in all_files(mount.path):
            with self.subTest(name):
                info = os.stat(mount / name)
                self.assertEqual(stat.filemode(info.st_mode), "-r--r--r--")
                self.assertEqual((info.st_uid, info.st_gid, info.st_nlink),
                                 (os.getuid(), os.getgid(), 1))
                self.assertEqual((info.st_mtime_ns, info.st_atime_ns, info.st_ctime_ns),
                                 (time, time, time))
                self.assertEqual(info.st_blocks, (info.st_size + 511) // 512)

    def test_block_size_is_a_power_of_two(self):
        """llama.cpp uses st_blksize as a mask for O_DIRECT."""
        size = os.stat(mount / "config.json").st_blksize
        self.assertGreaterEqual(size, 4096)
        self.assertEqual(size & (size - 1), 0)

    def test_directories(self):
        """Mode and link counts of directories: two and one for each directory inside."""
        for name, links in (("", 3), ("quantized", 3), ("quantized/tensors", 2)):
            info = os.stat(mount / name)
            self.assertEqual((stat.filemode(info.st_mode), info.st_nlink), ("dr-xr-xr-x", links))
        self.assertEqual(os.stat(mount.path).st_ino, 1)

    def test_listing(self):
        """The tree is that of the model, and quantized/ with its views."""
        self.assertEqual(sorted(os.listdir(mount.path)),
                         ["config.json", "model.safetensors", "quantized", "tokenizer.json"])
        self.assertEqual(sorted(os.listdir(mount / "quantized")),
                         ["manifest.json", "model.safetensors", "tensors"])
        for name in ("model.embed.weight.u8", "a%2Fb%3A%20%C3%BC%25.u8", "%2Ehidden.u8", "noise.u8",
                     "norm.f32", "bias.bf16", "positions.i64"):
            self.assertTrue(os.path.isfile(mount / ("quantized/tensors/" + name)), name)
        self.assertTrue(all(len(name) <= 255 for name in os.listdir(mount / "quantized/tensors")))

    def test_inode_numbers_are_unique_and_stable(self):
        """The same on every mount of an image, by readdir and by stat."""
        with Mount(image) as other:
            for name in all_files(mount.path):
                self.assertEqual(os.stat(mount / name).st_ino, os.stat(other / name).st_ino)
        for where, folders, names in os.walk(mount.path):
            for entry in os.scandir(where):
                self.assertEqual(entry.inode(), os.stat(entry.path).st_ino)
        numbers = [os.stat(mount / name).st_ino for name in all_files(mount.path)]
        self.assertEqual(len(numbers), len(set(numbers)))

    def test_dot_and_dotdot(self):
        """readdir lists both, with the right numbers."""
        out = must("ls", "-fai", mount / "quantized")
        rows = {row.split()[1]: int(row.split()[0]) for row in out.splitlines()}
        self.assertEqual(rows["."], os.stat(mount / "quantized").st_ino)
        self.assertIn("..", rows)

    def test_statfs(self):
        """df shows the size of the image, nothing free; names may have 255 bytes."""
        info = os.statvfs(mount.path)
        size = os.stat(image).st_size
        self.assertEqual(info.f_blocks * info.f_frsize, (size + 4095) // 4096 * 4096)
        self.assertEqual((info.f_bfree, info.f_bavail, info.f_ffree), (0, 0, 0))
        self.assertEqual(info.f_namemax, 255)
        self.assertGreater(info.f_files, len(modellib.varied_tensors()))
        self.assertTrue(info.f_flag & os.ST_RDONLY)

    def test_mount_table(self):
        """/proc/mounts names the image and the type and says ro,nosuid,nodev."""
        with open("/proc/self/mounts") as file:
            row = next(row for row in file if row.split()[1] == mount.path).split()
        self.assertEqual((row[0], row[2]), (image, "fuse.entrofs"))
        self.assertLessEqual({"ro", "nosuid", "nodev"}, set(row[3].split(",")))

    def test_owner_and_umask(self):
        """uid=, gid= and umask= change what stat shows."""
        with Mount(image, "-o", "uid=1234,gid=567", "-o", "umask=027") as other:
            for name, mode in (("config.json", "-r--r-----"), ("quantized", "dr-xr-x---")):
                info = os.stat(other / name)
                self.assertEqual((info.st_uid, info.st_gid, stat.filemode(info.st_mode)),
                                 (1234, 567, mode))


class Refusals(unittest.TestCase):
    def fails_with(self, number, call, *arguments):
        with self.assertRaises(OSError) as caught:
            call(*arguments)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[number])

    def test_missing_names(self):
        """ENOENT, also when asked twice (the kernel keeps the answer); ENAMETOOLONG; ENOTDIR."""
        for _ in range(2):
            self.fails_with(errno.ENOENT, os.stat, mount / "nothing")
            self.fails_with(errno.ENOENT, os.stat, mount / "quantized/tensors/no.u8")
            self.fails_with(errno.ENOENT, os.listdir, mount / "quantized/nothing")
        self.fails_with(errno.ENAMETOOLONG, os.stat, mount / ("x" * 256))
        self.fails_with(errno.ENOTDIR, os.stat, mount / "config.json/x")
        self.fails_with(errno.ENOTDIR, os.listdir, mount / "config.json")

    def test_directories_are_not_files(self):
        """EISDIR on read() of a directory and on opening one for writing."""
        fd = os.open(mount / "quantized", os.O_RDONLY)
        self.addCleanup(os.close, fd)
        self.fails_with(errno.EISDIR, os.read, fd, 10)
        self.fails_with(errno.EISDIR, os.open, mount / "quantized", os.O_WRONLY)

    def check_writes(self, folder):
        path = lambda name: os.path.join(folder, name)
        for call, *arguments in (
                (os.open, path("config.json"), os.O_WRONLY), (os.open, path("config.json"), os.O_RDWR),
                (os.open, path("new"), os.O_WRONLY | os.O_CREAT), (os.mkdir, path("new")),
                (os.unlink, path("config.json")), (os.rmdir, path("quantized")),
                (os.rename, path("config.json"), path("new")), (os.symlink, "x", path("new")),
                (os.link, path("config.json"), path("new")), (os.truncate, path("config.json"), 0),
                (os.chmod, path("config.json"), 0o644), (os.utime, path("config.json"), (0, 0)),
                (os.setxattr, path("config.json"), "user.x", b"y"),
                (os.mkfifo, path("new"))):
            with self.subTest(call.__name__):
                self.fails_with(errno.EROFS, call, *arguments)

    def test_writes(self):
        """EROFS on whatever would change something."""
        self.check_writes(mount.path)

    @unittest.skipIf(os.getuid() != 0, "needs root to remount")
    def test_writes_after_remount(self):
        """EROFS still, when root has remounted the file system rw and the daemon is asked."""
        with Mount(image) as other:
            must("mount", "-i", "-o", "remount,rw", other.path)
            self.check_writes(other.path)

    def test_extended_attributes(self):
        """ENOTSUP, by which programs know that there are none."""
        self.fails_with(errno.ENOTSUP, os.listxattr, mount / "config.json")
        self.fails_with(errno.ENOTSUP, os.getxattr, mount / "config.json", "user.x")


class LargeDirectory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        source = shop.path("large")
        tensors = {f"layer.{i}.w": modellib.Tensor.of("U8", [i % 251]) for i in range(TENSORS)}
        modellib.write_model(source, tensors)
        cls.mount = Mount(shop.pack(source, "large.efs")).__enter__()
        cls.addClassCleanup(cls.mount.__exit__, None, None, None)

    def test_listing_and_lookup(self):
        """5,000 files: ls -l, every name looked up and read, names that are not there."""
        folder = self.mount / "quantized/tensors"
        out = must("ls", "-l", folder)
        self.assertEqual(len(out.splitlines()), TENSORS + 1)
        names = os.listdir(folder)
        self.assertEqual(set(names), {f"layer.{i}.w.u8" for i in range(TENSORS)})
        for i in range(0, TENSORS, 7):
            with open(os.path.join(folder, f"layer.{i}.w.u8"), "rb") as file:
                self.assertEqual(file.read(), bytes([i % 251]))
        self.assertFalse(os.path.exists(os.path.join(folder, f"layer.{TENSORS}.w.u8")))
        self.assertEqual(run("find", self.mount.path, "-type", "f").stdout.count("\n"), TENSORS + 5)

    def test_rewind(self):
        """A directory can be listed in part, rewound, and listed again through one descriptor."""
        fd = os.open(self.mount / "quantized/tensors", os.O_RDONLY)
        self.addCleanup(os.close, fd)
        with os.scandir(fd) as entries:
            for _ in range(100):
                next(entries)
        self.assertEqual(len(os.listdir(fd)), TENSORS)


if __name__ == "__main__":
    unittest.main()
