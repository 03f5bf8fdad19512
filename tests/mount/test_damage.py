# SPDX-License-Identifier: MIT
"""Damaged images: a block that fails its checksum is EIO, and one line in the log; the rest is
served."""
import errno
import json
import mmap
import os
import signal
import subprocess
import sys
import unittest

from mountlib import Mount, contents, open_workshop
import modellib

BLOCK = 16384  # decoded bytes; the block size that mkentrofs uses
BAD = 3        # number of the block that is damaged
TENSORS = "quantized/tensors/"


def setUpModule():
    global shop, tensors, image
    shop = open_workshop()
    tensors = modellib.varied_tensors()
    image = shop.pack(shop.path("model"), "model.efs")


def find_raw_block():
    """Where block BAD of 'noise' lies: random bytes do not shrink, so they are stored as they are."""
    at = contents(image).find(tensors["noise"].raw[BAD * BLOCK:BAD * BLOCK + 64])
    assert at >= 0, "the noise tensor is not stored raw"
    return at


def damaged(at, name):
    data = bytearray(contents(image))
    data[at] ^= 0x10
    with open(shop.path(name), "wb") as file:
        file.write(data)
    return shop.path(name)


def read_direct(path, offset, size):
    """One O_DIRECT read: exactly one request, no read-ahead."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, (size + 4095) // 4096 * 4096) as buffer, \
                memoryview(buffer)[:size] as view:
            return bytes(view[:os.preadv(fd, [view], offset)])
    finally:
        os.close(fd)


class DamagedBlock(unittest.TestCase):
    def check_file(self, mount, name, want, tensor):
        """Reads each block of a file by itself: EIO or the right bytes. The numbers of the bad."""
        bad = []
        for at in range(0, len(want), BLOCK):
            size = min(BLOCK, len(want) - at)
            try:
                self.assertEqual(read_direct(mount / name, at, size), want[at:at + size])
            except OSError as error:
                self.assertEqual(error.errno, errno.EIO)
                bad.append(at // BLOCK)
        lines = mount.take_log().splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertIn(f"cannot read '{name}': tensor '{tensor}': ", lines[0])
        return bad, lines[0]

    def test_raw_block(self):
        """A flipped bit in a raw block, through the file of the tensor and the one of the model."""
        with Mount(damaged(find_raw_block() + 5000, "raw.efs")) as mount:
            bad, line = self.check_file(mount, TENSORS + "noise.u8", tensors["noise"].raw, "noise")
            self.assertEqual(bad, [BAD])
            self.assertIn(f"block {BAD} at byte", line)
            name = "quantized/model.safetensors"
            with open(mount / name, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                begin, _ = json.loads(file.read(size))["noise"]["data_offsets"]
            with Mount(image) as good:
                want = contents(good / name)
            bad, line = self.check_file(mount, name, want, "noise")
            start = 8 + size + begin + BAD * BLOCK
            self.assertEqual(bad, sorted({start // BLOCK, (start + BLOCK - 1) // BLOCK}))
            self.assertIn(f"block {BAD} at byte", line)

    def test_coded_block(self):
        """A flipped bit in a coded tensor: one block fails, which the log names; no other does."""
        name = "model.embed.weight"
        at = 1 << 20  # most of the image is this tensor
        with Mount(damaged(at, "coded.efs")) as mount:
            bad, line = self.check_file(mount, TENSORS + name + ".u8",
                                        modellib.expected_bytes(tensors[name], 8), name)
            self.assertEqual(len(bad), 1)
            self.assertIn(f"block {bad[0]} at byte", line)
            begin = int(line.split("at byte ")[1].split(":")[0])
            self.assertTrue(begin <= at < begin + BLOCK)

    def test_page_cache(self):
        """Through the page cache: EIO in the damaged block, the right bytes before and after."""
        want = tensors["noise"].raw
        with Mount(damaged(find_raw_block(), "cached.efs")) as mount:
            with open(mount / (TENSORS + "noise.u8"), "rb", buffering=0) as file:
                for at in range(0, len(want), 4096):
                    if BAD * BLOCK <= at < (BAD + 1) * BLOCK:
                        with self.assertRaises(OSError) as caught:
                            os.pread(file.fileno(), 4096, at)
                        self.assertEqual(caught.exception.errno, errno.EIO)
                    else:
                        self.assertEqual(os.pread(file.fileno(), 4096, at), want[at:at + 4096])
            self.assertEqual(len(mount.take_log().splitlines()), 1)

    def test_mapping(self):
        """A process that maps the file dies of SIGBUS in the damaged block, not elsewhere."""
        code = ("import mmap, sys\n"
                "with open(sys.argv[1], 'rb') as file:\n"
                "    view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
                "    view.madvise(mmap.MADV_RANDOM)\n"
                "    print(view[int(sys.argv[2])])\n")
        with Mount(damaged(find_raw_block(), "mapped.efs")) as mount:
            for block, code_wanted in ((BAD - 1, 0), (BAD, -signal.SIGBUS), (BAD + 1, 0)):
                done = subprocess.run([sys.executable, "-c", code, mount / (TENSORS + "noise.u8"),
                                       str(block * BLOCK)], stdout=subprocess.PIPE)
                self.assertEqual(done.returncode, code_wanted)
                if not code_wanted:
                    self.assertEqual(int(done.stdout), tensors["noise"].raw[block * BLOCK])
            self.assertEqual(len(mount.take_log().splitlines()), 1)

    def test_identical_lines_are_dropped(self):
        """A reader that tries again and again does not fill the log."""
        with Mount(damaged(find_raw_block(), "again.efs")) as mount:
            for _ in range(100):
                with self.assertRaises(OSError):
                    read_direct(mount / (TENSORS + "noise.u8"), BAD * BLOCK, BLOCK)
            self.assertEqual(len(mount.take_log().splitlines()), 1)

    def test_image_cut_while_mounted(self):
        """A file truncated under the daemon: errors, no crash, and what is left is served."""
        at = find_raw_block()
        path = damaged(at, "cut.efs")
        with Mount(path) as mount:
            self.assertGreater(len(read_direct(mount / "config.json", 0, 4096)), 0)
            first = read_direct(mount / (TENSORS + "noise.u8"), 0, BLOCK)
            os.truncate(path, at)
            with self.assertRaises(OSError) as caught:
                read_direct(mount / (TENSORS + "noise.u8"), (BAD + 1) * BLOCK, BLOCK)
            self.assertEqual(caught.exception.errno, errno.EIO)
            self.assertEqual(read_direct(mount / (TENSORS + "noise.u8"), 0, BLOCK), first)
            self.assertIn("noise", mount.take_log())


if __name__ == "__main__":
    unittest.main()
