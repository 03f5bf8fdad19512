# SPDX-License-Identifier: MIT
"""Ways of reading a mounted file, each compared with fsck's extraction of the same image."""
import concurrent.futures
import hashlib
import mmap
import multiprocessing
import os
import random
import socket
import threading
import unittest

from mountlib import Mount, all_files, contents, open_workshop

BIG = "quantized/model.safetensors"
PAGE = mmap.PAGESIZE


def setUpModule():
    global shop, image, extracted
    shop = open_workshop()
    image = shop.pack(shop.path("model"), "model.efs")
    extracted = shop.extract(image, "extracted")


def digest_by_read(path):
    """For worker processes."""
    return hashlib.sha256(contents(path)).hexdigest()


def check_random_reads(path, want, seed, count):
    """Reads at random places, of random lengths, through a descriptor of its own."""
    dice = random.Random(seed)
    fd = os.open(path, os.O_RDONLY)
    try:
        for _ in range(count):
            offset = dice.randrange(len(want) + 10)
            size = dice.choice((1, 7, 4096, 16384, 16385, 100_001, 1_500_000))
            if os.pread(fd, size, offset) != want[offset:offset + size]:
                return f"{path}: {size} bytes at {offset} differ"
    finally:
        os.close(fd)
    return None


class Reads(unittest.TestCase):
    """Each test mounts anew, so that nothing is in the page cache."""

    def setUp(self):
        self.mount = Mount(image).__enter__()
        self.addCleanup(self.mount.__exit__, None, None, None)
        self.big = self.mount / BIG
        self.want = contents(os.path.join(extracted, BIG))

    def open(self, flags=0):
        fd = os.open(self.big, os.O_RDONLY | flags)
        self.addCleanup(os.close, fd)
        return fd

    def test_random_offsets_and_lengths(self):
        """Unaligned reads anywhere, in the big file and in every small one."""
        self.assertIsNone(check_random_reads(self.big, self.want, 1, 400))
        for seed, name in enumerate(all_files(extracted)):
            want = contents(os.path.join(extracted, name))
            self.assertIsNone(check_random_reads(self.mount / name, want, seed, 20))

    def test_around_the_end(self):
        """Reads that touch, cross or lie past the end of a file are short or empty."""
        fd, size = self.open(), len(self.want)
        for offset in (size - 1, size - 5000, size - 1_100_000, size, size + 1, size + 10**6,
                       2**62):
            for length in (1, 4096, 1 << 20, 3 << 20):
                self.assertEqual(os.pread(fd, length, offset), self.want[offset:offset + length])

    def test_empty_file(self):
        """A tensor without elements is an empty file."""
        path = self.mount / "quantized/tensors/empty.f32"
        self.assertEqual((os.stat(path).st_size, contents(path)), (0, b""))

    def test_shared_mapping(self):
        """MAP_SHARED as llama.cpp and numpy.memmap do it: PROT_READ, MAP_POPULATE."""
        with mmap.mmap(self.open(), 0, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0),
                       prot=mmap.PROT_READ) as view:
            self.assertTrue(view[:] == self.want)

    def test_private_mapping(self):
        """MAP_PRIVATE as safetensors does it; writes stay private."""
        with mmap.mmap(self.open(), 0, flags=mmap.MAP_PRIVATE,
                       prot=mmap.PROT_READ | mmap.PROT_WRITE) as view:
            self.assertTrue(view[:] == self.want)
            view[12345] ^= 0xff
        self.assertEqual(os.pread(self.open(), 1, 12345), self.want[12345:12346])

    def test_random_faults(self):
        """MADV_RANDOM: single pages, faulted in any order."""
        with mmap.mmap(self.open(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ) as view:
            view.madvise(mmap.MADV_RANDOM)
            pages = list(range(0, len(self.want), PAGE))
            random.Random(2).shuffle(pages)
            for at in pages[:600]:
                self.assertEqual(view[at:at + PAGE], self.want[at:at + PAGE])

    def test_direct_io(self):
        """O_DIRECT reads, of page-aligned and of odd sizes and offsets, past the page cache."""
        fd = self.open(os.O_DIRECT)
        with mmap.mmap(-1, 4 << 20) as buffer:
            for offset, size in ((0, PAGE), (PAGE, 4 << 20), (16384, 16384), (512, 512),
                                 (len(self.want) // PAGE * PAGE, PAGE), (0, 4 << 20),
                                 (1 << 20, 1 << 20), (777, 3333)):
                with memoryview(buffer)[:size] as view:
                    got = os.preadv(fd, [view], offset)
                    want = self.want[offset:offset + size]
                    self.assertEqual((got, bytes(view[:got])), (len(want), want))

    def test_sequential_advice(self):
        """posix_fadvise(SEQUENTIAL) and small reads in order, as llama.cpp without mmap."""
        fd = self.open()
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        got = bytearray()
        while piece := os.read(fd, 10_000):
            got += piece
        self.assertTrue(got == self.want)

    def test_sendfile(self):
        """sendfile() into a socket."""
        left, right = socket.socketpair()
        got = bytearray()

        def receive():
            while data := right.recv(1 << 20):
                got.extend(data)

        receiver = threading.Thread(target=receive)
        receiver.start()
        fd, offset = self.open(), 0
        while sent := os.sendfile(left.fileno(), fd, offset, len(self.want) - offset):
            offset += sent
        left.close()
        receiver.join()
        right.close()
        self.assertTrue(got == self.want)

    def test_parallel_threads(self):
        """Threads with descriptors of their own, random reads, the same file."""
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            runs = [pool.submit(check_random_reads, self.big, self.want, seed, 60)
                    for seed in range(8)]
            self.assertEqual([done.result() for done in runs], [None] * 8)

    def test_parallel_processes(self):
        """Processes read all files at once: first use of every stream's index, contended."""
        names = [name for name in all_files(extracted) for _ in range(3)]
        with multiprocessing.get_context("fork").Pool(6) as pool:
            got = pool.map(digest_by_read, [self.mount / name for name in names], 1)
        want = {name: digest_by_read(os.path.join(extracted, name)) for name in set(names)}
        self.assertEqual(got, [want[name] for name in names])

    def test_mapped_and_read_at_once(self):
        """Readers by mmap and by read() of one file, both at once; such mixes deadlock some
        servers."""
        def by_mapping(seed):
            dice = random.Random(seed)
            with mmap.mmap(self.open(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ) as view:
                for _ in range(200):
                    at = dice.randrange(len(self.want))
                    if view[at:at + 5000] != self.want[at:at + 5000]:
                        return at
            return None

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            runs = [pool.submit(by_mapping, seed) for seed in range(4)]
            runs += [pool.submit(check_random_reads, self.big, self.want, seed, 60)
                     for seed in range(4)]
            self.assertEqual([done.result() for done in runs], [None] * 8)

    def test_single_thread(self):
        """-s serves the same bytes."""
        with Mount(image, "-s") as mount:
            self.assertTrue(contents(mount / BIG) == self.want)

    def test_each_kernel(self):
        """ENTROFS_KERNEL=scalar serves what the fastest decoder serves."""
        with Mount(image, env={"ENTROFS_KERNEL": "scalar"}) as mount:
            self.assertTrue(contents(mount / BIG) == self.want)


if __name__ == "__main__":
    unittest.main()
