# SPDX-License-Identifier: MIT
"""A mount namespace for one test process, in which the system's own programs find what we stage.

Nothing done in it is seen outside: /usr/local, the folder of mount(8)'s helpers, /etc/fstab, /run
and /dev are the namespace's own.
"""
import ctypes
import os
import stat
import unittest

from mountlib import ROOT, must, run

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
HELPERS = os.path.realpath("/sbin")  # where mount(8) looks for mount.TYPE
NODES = ("null", "zero", "full", "random", "urandom", "tty", "loop-control",
         *(f"loop{i}" for i in range(8)))


def enter():
    """Moves this process, and what it starts from now on, to a mount namespace of its own."""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | (CLONE_NEWUSER if user else 0)):
        raise unittest.SkipTest(f"no private mount namespace: {os.strerror(ctypes.get_errno())}")
    if user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"),
                           ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    needs("mount", "--make-rprivate", "/")


def needs(*command):
    """A step without which the tests cannot be: on failure they are skipped."""
    done = run(*command)
    if done.returncode:
        raise unittest.SkipTest(f"{' '.join(command)}: {done.stderr.strip()}")


def cover(folder, with_what):
    """Puts the files of one folder before those of another, without writing to either."""
    needs("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={with_what}:{folder}", folder)


def stage(folder):
    """`make install` into a folder, of what is built already."""
    must("make", "-C", ROOT, "-o", "all", "install", f"DESTDIR={folder}", "PREFIX=/usr/local")


def install(folder):
    """Makes the system find the programs staged in a folder."""
    cover("/usr/local/bin", os.path.join(folder, "usr/local/bin"))
    cover(HELPERS, folder + HELPERS)


def private_fstab(folder):
    """The path to write to. /etc has only this file of its own; mount(8)'s notes go to our /run."""
    os.mkdir(folder)
    path = os.path.join(folder, "fstab")
    with open(path, "w"):
        pass
    cover("/etc", folder)
    needs("mount", "-t", "tmpfs", "tmpfs", "/run")
    needs("mount", "--bind", path, "/etc/fstab")
    return path


def private_dev(folder):
    """A /dev to which sockets can be added, with a /dev/fuse that everybody may open, as udev has it."""
    os.mkdir(folder)
    needs("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    for name in filter(lambda name: os.path.exists("/dev/" + name), NODES):
        bind_node(name, folder)
    node = os.path.join(folder, "fuse")
    try:
        os.mknod(node, 0o666 | stat.S_IFCHR, os.stat("/dev/fuse").st_rdev)
        os.chmod(node, 0o666)
    except PermissionError:
        bind_node("fuse", folder)
    os.symlink("/proc/self/fd", os.path.join(folder, "fd"))
    needs("mount", "--rbind", folder, "/dev")
    needs("umount", "--recursive", "--lazy", folder)


def bind_node(name, folder):
    path = os.path.join(folder, name)
    with open(path, "w"):
        pass
    needs("mount", "--bind", "/dev/" + name, path)
