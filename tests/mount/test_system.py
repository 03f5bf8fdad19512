# SPDX-License-Identifier: MIT
"""Mounting as the system does it: mount(8), umount(8), fstab, ordinary users, syslog.

All in a mount namespace of its own, where the programs of `make install` are found.
"""
import errno
import glob
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import unittest

import namespace
from mountlib import (WAIT, contents, is_alive, kill_if_alive, must, open_workshop, run,
                      program, wait_until)

BIG = "quantized/model.safetensors"
NOBODY, OTHER = 65534, 65533


def setUpModule():
    global shop, image, four, want, fstab
    shop = open_workshop()
    os.chmod(shop.folder, 0o755)
    image = shop.pack(shop.path("model"), "model.efs")
    four = shop.pack(shop.path("model"), "four.efs", "--bits", "4")
    want = contents(os.path.join(shop.extract(image, "extracted"), BIG))
    namespace.stage(shop.path("stage"))
    namespace.enter()
    namespace.install(shop.path("stage"))
    namespace.private_dev(shop.path("dev"))
    fstab = namespace.private_fstab(shop.path("etc"))


def as_user(uid, *command):
    """A command of an ordinary user, for whom programs that are setuid work."""
    return run("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *command)


def mounts_on(path):
    """Of each mount on a folder: type, source, options; the topmost one last."""
    found = []
    with open("/proc/self/mountinfo", errors="surrogateescape") as lines:
        for words in map(str.split, lines):
            if decode(words[4]) == path:
                rest = words[words.index("-") + 1:]
                found.append((rest[0], decode(rest[1]), words[5].split(",")))
    return found


def decode(word):
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), word)


def servers():
    """The processes of our namespace that serve an image, whatever name they were started by."""
    found = set()
    ours = os.readlink("/proc/self/ns/mnt")
    for process in glob.glob("/proc/[0-9]*"):
        try:
            if (os.path.basename(os.readlink(process + "/exe")) == "entrofs"
                    and os.readlink(process + "/ns/mnt") == ours):
                found.add(int(os.path.basename(process)))
        except OSError:
            pass
    return found


class Case(unittest.TestCase):
    def setUp(self):
        self.before = servers()
        self.path = self.folder(tempfile.mkdtemp(prefix="entrofs-mount-"))

    def folder(self, path):
        """A mount point; whatever is mounted on it at the end is unmounted."""
        os.makedirs(path, exist_ok=True)
        self.addCleanup(self.clear, path)
        return path

    def clear(self, path):
        while mounts_on(path):
            must("umount", "-l", path)
        shutil.rmtree(path, ignore_errors=True)
        try:
            wait_until(lambda: not any(map(is_alive, servers() - self.before)), "the daemons' end")
        finally:
            for daemon in servers() - self.before:
                kill_if_alive(daemon)

    def mount(self, *words):
        done = run("mount", *words)
        self.assertEqual((done.returncode, done.stderr, done.stdout), (0, "", ""), words)

    def umount(self, path=None):
        must("umount", path or self.path)

    def serves(self, path=None, what=None):
        self.assertTrue(contents(os.path.join(path or self.path, BIG)) == (what or want))

    def refused(self, done, code, reason):
        """One line for what is wrong; mount(8) may add one of its own."""
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        self.assertRegex(done.stderr.splitlines()[0], reason)


class MountProgram(Case):
    def test_plain(self):
        """mount -t entrofs and -t fuse.entrofs without options: mounted read-only, silently, and
        umount(8) ends the daemon."""
        for kind in ("entrofs", "fuse.entrofs"):
            self.mount("-t", kind, image, self.path)
            self.serves()
            ((found, source, options),) = mounts_on(self.path)
            self.assertEqual((found, source), ("fuse.entrofs", image))
            self.assertLessEqual({"ro", "nosuid", "nodev"}, set(options))
            self.assertEqual(len(servers() - self.before), 1)
            self.umount()
            wait_until(lambda: not servers() - self.before, "the daemon's end")

    def test_read_only_whatever_is_said(self):
        """An explicit rw, which nobody can tell from mount(8)'s own, changes nothing."""
        for words in (("-w",), ("-o", "rw"), ("-r",), ("-o", "defaults")):
            for kind in ("entrofs", "fuse.entrofs"):
                self.mount("-t", kind, *words, image, self.path)
                self.assertIn("ro", mounts_on(self.path)[0][2])
                with self.assertRaises(OSError) as raised:
                    os.mkdir(os.path.join(self.path, "new"))
                self.assertEqual(raised.exception.errno, errno.EROFS)
                self.umount()

    def test_words_of_fstab(self):
        """Whatever fstab(5) and mount(8) know passes; the flags that mean something do."""
        words = ("defaults,auto,noauto,user,nouser,users,owner,group,nofail,_netdev,suid,nosuid,dev,"
                 "nodev,async,sync,dirsync,relatime,norelatime,strictatime,lazytime,nolazytime,mand,"
                 "nomand,iversion,silent,loud,comment=a,x-systemd.automount,x-systemd.idle-timeout=60,"
                 "x-gvfs-hide,X-mount.mkdir,noexec,noatime,nodiratime,uid=42,gid=43,umask=027")
        for command in (("mount", "-t", "entrofs"), ("mount", "-t", "fuse.entrofs"), ("entrofs",),
                        ("mount.entrofs",)):
            must(*command, image, self.path, "-o", words)
            self.assertLessEqual({"ro", "nosuid", "nodev", "noexec", "noatime"},
                                 set(mounts_on(self.path)[0][2]))
            found = os.stat(os.path.join(self.path, BIG))
            self.assertEqual((found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)), (42, 43, 0o440))
            self.umount()

    def test_unknown_word(self):
        """An unknown word is named, with the exit code of mount(8); -s lets it pass."""
        for kind, code in (("entrofs", 1), ("fuse.entrofs", 2)):
            for word in ("speling", "what=5", "offset=x", "remount"):
                done = run("mount", "-t", kind, image, self.path, "-o", f"noatime,{word}")
                if word.startswith("offset") and done.stderr.startswith("mount: "):
                    continue  # mount(8) itself takes it for a loop device's
                self.refused(done, code, f"entrofs: .*'{word}'")
                self.assertEqual(mounts_on(self.path), [])
        self.mount("-s", "-t", "entrofs", image, self.path, "-o", "speling,what=5,noatime")
        self.assertIn("noatime", mounts_on(self.path)[0][2])
        self.refused(run("mount", "-s", "-t", "entrofs", image, self.path, "-o", "umask=9"), 1, "'umask=9'")

    def test_failures(self):
        """What cannot be mounted is one line and exit code 32, as for other file systems."""
        missing = shop.path("missing.efs")
        self.refused(run("mount", "-t", "entrofs", missing, self.path), 32,
                     f"^mount.entrofs: cannot mount '{missing}': No such file")
        self.refused(run("mount", "-t", "entrofs", shop.path("model/config.json"), self.path), 32,
                     "not an entrofs image")
        self.refused(run("mount.entrofs", image, self.path + "/missing"), 32, "mount point .*No such file")
        self.refused(run("mount.entrofs", image), 1, "mount point")
        self.refused(run("mount.entrofs", "-x", image, self.path), 1, "invalid option -- 'x'")
        self.assertEqual(servers(), self.before)

    def test_fake(self):
        """mount -f checks everything and mounts nothing."""
        self.mount("-f", "-t", "entrofs", image, self.path)
        self.assertEqual((mounts_on(self.path), servers()), ([], self.before))
        self.refused(run("mount", "-f", "-t", "entrofs", shop.path("model/config.json"), self.path), 32,
                     "not an entrofs image")

    def test_verbose(self):
        """mount -v says what was mounted where."""
        self.assertIn(f"{image} mounted on {self.path}.\n",
                      must("mount", "-v", "-t", "entrofs", image, self.path))

    def test_other_namespace(self):
        """mount -N: image and mount point are those of the other namespace, and so is the mount."""
        with subprocess.Popen(["unshare", "-m", "sh", "-c", f"mount -t tmpfs tmpfs {self.path} && "
                               f"cp {image} {self.path}/hidden.efs && mkdir {self.path}/point && "
                               f"echo ready && read line; umount {self.path}/point"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            self.assertEqual(other.stdout.readline(), "ready\n")
            point = self.path + "/point"
            self.mount("-N", str(other.pid), "-t", "entrofs", self.path + "/hidden.efs", point)
            inside = must("nsenter", "-t", str(other.pid), "-m", "sha256sum", f"{point}/{BIG}")
            other.communicate("end\n", timeout=WAIT)
        self.assertEqual(os.listdir(self.path), [])
        outside = must("sha256sum", os.path.join(shop.path("extracted"), BIG))
        self.assertEqual(inside.split()[0], outside.split()[0])

    def test_drop_privileges(self):
        """With setuid= and drop_privileges, mount.fuse3 mounts and the daemon is nobody."""
        self.mount("-t", "fuse.entrofs", image, self.path, "-o", "setuid=nobody,drop_privileges,allow_other")
        self.serves()
        (daemon,) = servers() - self.before
        with open(f"/proc/{daemon}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
        self.assertEqual(status["Uid"].split(), [str(NOBODY)] * 4)
        self.assertEqual(int(status["CapEff"], 16), 0)
        self.umount()


class Places(Case):
    def test_same_image_again(self):
        """The same image on the same folder is refused, as mount(8) refuses the same device; another
        one goes on top, and comes off again."""
        self.mount("-t", "entrofs", image, self.path)
        os.symlink(image, shop.path("alias.efs"))
        for command in (("mount", "-t", "entrofs", image), ("mount", "-t", "fuse.entrofs", image),
                        ("entrofs", image), ("mount", "-t", "entrofs", shop.path("alias.efs"))):
            done = run(*command, self.path)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("mounted there already", done.stderr)
        self.assertEqual(len(mounts_on(self.path)), 1)
        self.mount("-t", "entrofs", four, self.path)
        self.assertLess(os.stat(os.path.join(self.path, BIG)).st_size, len(want))
        self.mount("-t", "entrofs", image, self.path)
        self.umount()
        self.umount()
        self.serves()

    def test_odd_names(self):
        """Spaces, commas, quotes, backslashes, newlines, # and UTF-8 in the names of image and mount
        point: served, shown as they are by the kernel, unmounted, refused when mounted twice."""
        for name in ("a b", "a,b,ro", "a\\b\\040c", "a\nb", "a\tb", 'a"b', "ä ☃", "a#b", "-o", "a=b:c"):
            with self.subTest(name):
                source = os.path.join(self.path, name + ".efs")
                shutil.copy(image, source)
                point = self.folder(os.path.join(self.path, "mnt" + name))
                self.mount("-t", "entrofs", source, point)
                self.serves(point)
                self.assertEqual([found[:2] for found in mounts_on(point)], [("fuse.entrofs", source)])
                self.assertIn("already", run("mount", "-t", "entrofs", source, point).stderr)
                self.umount(point)
                self.assertEqual(mounts_on(point), [])

    def test_kinds_of_paths(self):
        """Relative paths, symbolic links, a mount point beside the image, one that is not empty, and
        one within another mount."""
        shutil.copy(image, os.path.join(self.path, "model.efs"))
        os.symlink("model.efs", os.path.join(self.path, "current.efs"))
        point = self.folder(os.path.join(self.path, "mnt"))
        os.symlink("mnt", os.path.join(self.path, "alias"))
        with open(os.path.join(point, "covered"), "w") as file:
            file.write("text")
        for command in (("mount", "-t", "entrofs"), ("mount", "-t", "fuse.entrofs"), ("entrofs",)):
            done = run(*command, "current.efs", "./alias", cwd=self.path)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.serves(point)
            self.assertEqual(mounts_on(point)[0][1], os.path.join(self.path, "model.efs"))
            inner = os.path.join(point, "quantized")
            self.mount("-t", "entrofs", four, inner)
            self.assertIn("quantized", os.listdir(inner))
            self.umount(inner)
            self.umount(point)
            self.assertEqual(os.listdir(point), ["covered"])

    def test_long_names(self):
        """A path near PATH_MAX mounts, and an error about one still tells the reason."""
        name = "/".join([self.path, *("d" * 250 for _ in range(14))])
        os.makedirs(name)
        source = shutil.copy(image, name + "/model.efs")
        self.mount("-t", "entrofs", source, self.folder(self.path + "/mnt"))
        self.serves(self.path + "/mnt")
        with open(name + "/bad.efs", "w") as file:
            file.write("text")
        self.assertRegex(run("entrofs", name + "/bad.efs", self.path).stderr, "not an entrofs image.*\n$")

    def test_image_goes_away(self):
        """An image deleted, or replaced by renaming another over it, while it is mounted."""
        source = shutil.copy(image, os.path.join(self.path, "model.efs"))
        point = self.folder(os.path.join(self.path, "mnt"))
        self.mount("-t", "entrofs", source, point)
        shutil.copy(four, source + ".new")
        os.rename(source + ".new", source)
        self.serves(point)
        os.unlink(source)
        must("sh", "-c", "echo 1 > /proc/sys/vm/drop_caches || true")
        self.serves(point)
        shutil.copy(four, source)
        self.umount(point)
        self.mount("-t", "entrofs", source, point)
        self.assertLess(os.stat(os.path.join(point, BIG)).st_size, len(want))

    def test_block_device(self):
        """An image on a block device, behind other data: mount -o loop, offset=, and losetup(8)."""
        inside = shop.path("disk")
        with open(inside, "wb") as file:
            file.write(b"\xa5" * 8192 + contents(image) + b"\x5a" * 5000)
        done = run("losetup", "--find", "--show", "--read-only", inside)
        if done.returncode:
            self.skipTest(f"losetup: {done.stderr.strip()}")
        device = done.stdout.strip()
        try:
            must("entrofs", "-o", "offset=8k", device, self.path)
            self.serves()
            self.umount()
            must(program("fsck.entrofs"), "--deep", "--offset=8k", device)
        finally:
            must("losetup", "--detach", device)
        for words in ("loop", "loop,ro"):
            self.mount("-t", "entrofs", image, self.path, "-o", words)
            self.serves()
            self.umount()
        self.mount("-t", "entrofs", inside, self.path, "-o", "offset=8192")
        self.serves()
        self.umount()
        wait_until(lambda: inside not in must("losetup", "--all"), "the loop device's end")


class Fstab(Case):
    def line(self, *lines):
        with open(fstab, "w") as file:
            file.writelines(line + "\n" for line in lines)

    def test_all(self):
        """mount -a mounts what is automatic, and only once; umount -a -t fuse.entrofs unmounts it."""
        points = [self.folder(os.path.join(self.path, name)) for name in ("a", "b b", "c", "d")]
        os.symlink(image, os.path.join(self.path, "current.efs"))
        self.line(f"{image} {points[0]} entrofs defaults 0 0",
                  f"{self.path}/current.efs {self.path}/b\\040b entrofs ro,nofail,allow_other 0 0",
                  f"{image} {points[2]} entrofs noauto 0 0",
                  f"{four} {points[3]} fuse.entrofs x-systemd.automount 0 0")
        for _ in range(2):
            self.mount("-a")
            self.assertEqual([len(mounts_on(point)) for point in points], [1, 1, 0, 1])
        self.serves(points[1])
        self.mount(points[2])
        self.serves(points[2])
        must("umount", "-a", "-t", "fuse.entrofs")
        self.assertEqual(sum(len(mounts_on(point)) for point in points), 0)

    @unittest.skipIf(os.getuid() != 0, "needs root to become somebody else")
    def test_user(self):
        """noauto,user: an ordinary user mounts and unmounts, and nobody else may unmount."""
        os.chown(self.path, NOBODY, NOBODY)
        for kind in ("entrofs", "fuse.entrofs"):
            self.line(f"{image} {self.path} {kind} noauto,user 0 0")
            done = as_user(NOBODY, "mount", self.path)
            if "Permission denied" in done.stderr and kind == "entrofs":
                self.skipTest(f"an ordinary user cannot open /dev/fuse here: {done.stderr}")
            self.assertEqual((done.returncode, done.stderr, done.stdout), (0, "", ""))
            (daemon,) = servers() - self.before
            self.assertEqual(os.stat(f"/proc/{daemon}").st_uid, NOBODY)
            self.assertLessEqual({"ro", "nosuid", "nodev", "noexec"}, set(mounts_on(self.path)[0][2]))
            done = as_user(NOBODY, "cmp", os.path.join(self.path, BIG), shop.path("extracted/" + BIG))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            done = as_user(OTHER, "umount", self.path)
            self.assertNotEqual(done.returncode, 0)
            done = as_user(NOBODY, "umount", self.path)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(mounts_on(self.path), [])
            wait_until(lambda: not servers() - self.before, "the daemon's end")


@unittest.skipIf(os.getuid() != 0, "needs root to become somebody else")
class OrdinaryUser(Case):
    """Without fstab, through fusermount3."""
    def setUp(self):
        super().setUp()
        os.chown(self.path, NOBODY, NOBODY)
        done = as_user(NOBODY, "sh", "-c", ": < /dev/fuse")
        if done.returncode:
            self.skipTest(f"an ordinary user cannot open /dev/fuse here: {done.stderr.strip()}")

    def test_several(self):
        """Two images and one of them twice; fusermount3 and umount(8) both unmount."""
        points = [self.folder(os.path.join(self.path, name)) for name in ("a", "b,ro", "c\\ d")]
        for point in points:
            os.chown(point, NOBODY, NOBODY)
        for source, point in zip((image, four, image), points):
            done = as_user(NOBODY, "entrofs", source, point)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(mounts_on(point)[0][:2], ("fuse.entrofs", source))
        self.assertEqual(len(servers() - self.before), 3)
        done = as_user(NOBODY, "cmp", os.path.join(points[2], BIG), shop.path("extracted/" + BIG))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for point, command in zip(points, (("fusermount3", "-u"), ("umount",), ("fusermount3", "-u"))):
            self.assertEqual(as_user(NOBODY, *command, point).stderr, "")
            self.assertEqual(mounts_on(point), [])

    def test_allow_other(self):
        """Without user_allow_other in fuse.conf: one line that says so; with it, others may read."""
        conf = os.path.join(shop.folder, "fuse.conf")
        for text, allowed in (("", False), ("user_allow_other\n", True)):
            with open(conf, "w") as file:
                file.write(text)
            must("mount", "--bind", conf, "/etc/fuse.conf")
            try:
                done = as_user(NOBODY, "entrofs", "-o", "allow_other", image, self.path)
            finally:
                must("umount", "/etc/fuse.conf")
            if not allowed:
                self.refused(done, 1, "^entrofs: cannot mount .*'user_allow_other'.*/etc/fuse.conf")
                self.assertEqual(len(done.stderr.splitlines()), 1)
                continue
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(as_user(OTHER, "cat", os.path.join(self.path, "config.json")).returncode, 0)

    def test_not_writable(self):
        """A mount point of somebody else, and an image that must not be read."""
        os.chmod(self.path, 0o755)
        self.refused(as_user(OTHER, "entrofs", image, self.path), 1, "no write access to mountpoint")
        secret = shutil.copy(image, os.path.join(self.path, "secret.efs"))
        os.chmod(secret, 0o600)
        self.refused(as_user(NOBODY, "entrofs", secret, self.path), 1, "Permission denied$")


class Syslog(Case):
    def setUp(self):
        super().setUp()
        self.log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.log.bind("/dev/log")
        os.chmod("/dev/log", 0o666)
        self.log.settimeout(WAIT)
        self.addCleanup(os.unlink, "/dev/log")
        self.addCleanup(self.log.close)

    def damaged(self):
        """An image of which one block of the tensor 'noise' is damaged."""
        path = shutil.copy(image, shop.path("damaged.efs"))
        with open(os.path.join(shop.path("extracted"), "quantized/tensors/noise.u8"), "rb") as file:
            file.seek(3 << 14)
            at = contents(path).find(file.read(64))
        self.assertGreater(at, 0)
        with open(path, "r+b") as file:
            file.seek(at + 5)
            file.write(b"\0\xff\0\xff")
        return path

    def test_background(self):
        """In the background, a damaged block is one line in syslog: priority daemon.err, the daemon's
        name and process, image, file and place."""
        path = self.damaged()
        for command in (("mount", "-t", "entrofs"), ("entrofs",)):
            must(*command, path, self.path)
            (daemon,) = servers() - self.before
            with self.assertRaises(OSError) as raised:
                contents(os.path.join(self.path, "quantized/tensors/noise.u8"))
            self.assertEqual(raised.exception.errno, errno.EIO)
            line = self.log.recv(1 << 16).decode()
            self.assertRegex(line, rf"^<27>.* entrofs\[{daemon}\]: '{path}': cannot read "
                                   r"'quantized/tensors/noise.u8': tensor 'noise': .*block 3")
            self.umount()
            wait_until(lambda: not servers() - self.before, "the daemon's end")

    def test_foreground(self):
        """In front, the same line goes to stderr, and nothing to syslog."""
        with subprocess.Popen(["entrofs", "-f", self.damaged(), self.path], stderr=subprocess.PIPE,
                              text=True) as daemon:
            try:
                wait_until(lambda: mounts_on(self.path) or daemon.poll() is not None, "a mount")
                with self.assertRaises(OSError):
                    contents(os.path.join(self.path, "quantized/tensors/noise.u8"))
                self.umount()
                _, said = daemon.communicate(timeout=WAIT)
            finally:
                daemon.kill()
        self.assertRegex(said, "^entrofs: .*tensor 'noise'")
        self.log.setblocking(False)
        with self.assertRaises(BlockingIOError):
            self.log.recv(1)


class Installation(unittest.TestCase):
    def test_install_and_uninstall(self):
        """make install puts the helper where mount(8) looks, whatever the prefix, and uninstall takes
        away all it installed, but not the helper of another installation."""
        folder = shop.path("root")
        make = ("make", "-C", namespace.ROOT, "-o", "all", f"DESTDIR={folder}", "PREFIX=/opt/entrofs")
        helper = folder + namespace.HELPERS + "/mount.entrofs"
        must(*make, "install")
        self.assertEqual(os.readlink(helper), "/opt/entrofs/bin/entrofs")
        for name in ("bin/entrofs", "bin/mkentrofs", "bin/entrofs-run", "sbin/fsck.entrofs",
                     "sbin/dump.entrofs", "share/man/man5/entrofs.5", "share/man/man8/mount.entrofs.8"):
            self.assertTrue(os.path.isfile(f"{folder}/opt/entrofs/{name}"), name)
        must(*make, "uninstall")
        self.assertEqual([name for _, _, names in os.walk(folder) for name in names], [])
        os.symlink("/usr/bin/entrofs", helper)
        must(*make, "uninstall")
        self.assertEqual(os.readlink(helper), "/usr/bin/entrofs")


if __name__ == "__main__":
    unittest.main()
