# SPDX-License-Identifier: MIT
"""How a mount reads: what its options change (never a byte), what it counts, what it takes."""
import errno
import json
import mmap
import os
import random
import signal
import threading
import time
import unittest

import numpy as np

from mountlib import Mount, all_files, contents, modellib, open_workshop, wait_until

BIG = "quantized/model.safetensors"
WEIGHTS = "model.safetensors"
ATTRIBUTE = "user.entrofs.stats"
RSS_LIMIT = 96 << 20  # bytes; with default options, any model
STRESS_SECONDS = int(os.environ.get("STRESS_SECONDS", "15"))


def setUpModule():
    global shop, image, extracted
    shop = open_workshop()
    image = shop.pack(shop.path("model"), "model.efs")
    extracted = shop.extract(image, "extracted")


def stats(mount):
    return json.loads(os.getxattr(mount.path, ATTRIBUTE))


def peak_memory(pid):
    """Bytes of the process's peak resident set."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


class Options(unittest.TestCase):
    def check_tree(self, *options):
        """Every file, read twice, has the right bytes."""
        with Mount(image, "-o", ",".join(options)) as mount:
            for name in all_files(extracted) * 2:
                self.assertTrue(contents(mount / name) == contents(os.path.join(extracted, name)),
                                f"{name} with {options}")

    def test_no_option_changes_a_byte(self):
        """Caches and read-ahead at their extremes, alone and together."""
        for options in (("readahead=0",), ("cachesize=0",), ("readahead=0", "cachesize=0"),
                        ("workers=1",), ("workers=16", "readahead=64M"), ("readahead=1k",),
                        ("cache=compressed",), ("cache=compressed", "readahead=0"),
                        ("preload",), ("preload=1M",), ("preload", "cache=compressed")):
            with self.subTest(options=options):
                self.check_tree(*options)

    def test_readahead_is_asked_for_after_a_listing_too(self):
        """The kernel looks up no file that it has from a listing of the directory."""
        with Mount(image, "-o", "stats") as mount:
            self.assertEqual(stats(mount)["options"]["kernel_readahead"], 0)
            for folder in mount.path, mount / "quantized":
                with os.scandir(folder) as entries:
                    for entry in entries:
                        entry.stat()
            contents(mount / BIG)
            self.assertGreater(stats(mount)["options"]["kernel_readahead"], 0)

    def test_files_opened_at_once_are_all_read_ahead(self):
        """Whoever opens a file while the kernel is being asked for read-ahead gets it as well."""
        source = shop.path("several")
        modellib.write_model(source, {f"w{i}": modellib.Tensor("U8", [4 << 20], random.Random(i).randbytes(1 << 20) * 4)
                                      for i in range(6)})
        several = shop.pack(source, "several.efs")
        for _ in range(8):
            with Mount(several, "-o", "stats") as mount:
                paths = [mount / f"quantized/tensors/w{i}.u8" for i in range(6)]
                for path in paths:
                    os.stat(path)
                together = threading.Barrier(len(paths))
                files = {}

                def open_one(path):
                    together.wait()
                    files[path] = os.open(path, os.O_RDONLY)
                threads = [threading.Thread(target=open_one, args=(path,)) for path in paths]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                if stats(mount)["options"]["kernel_readahead"] < 4 << 20:
                    for file in files.values():
                        os.close(file)
                    self.skipTest("the kernel may not be told to read ahead")
                for path, file in files.items():
                    before = stats(mount)["reads"]
                    for at in range(0, 4 << 20, 128 << 10):
                        os.pread(file, 128 << 10, at)
                    os.close(file)
                    # 16 and more at the kernel's default of 128 KiB.
                    self.assertLessEqual(stats(mount)["reads"] - before, 8, path)

    def test_statistics_are_hidden_unless_asked_for(self):
        with Mount(image) as mount:
            with self.assertRaises(OSError) as caught:
                os.getxattr(mount.path, ATTRIBUTE)
            self.assertIn(caught.exception.errno, (errno.EOPNOTSUPP, errno.ENODATA))

    def test_statistics_add_up(self):
        with Mount(image, "-o", "stats,workers=3,cachesize=1M") as mount:
            size = len(contents(mount / BIG))
            told = stats(mount)
            self.assertEqual(told["bytes_served"], size)
            self.assertEqual(told["errors"], 0)
            self.assertGreater(told["reads"], 0)
            self.assertGreater(told["bytes_fetched"], 0)
            self.assertGreater(told["blocks_decoded"], 0)
            self.assertEqual(told["options"]["workers"], 3)
            self.assertEqual(told["options"]["cachesize"], 1 << 20)
            self.assertEqual(told["options"]["cache"], "decoded")
            latency = told["latency_us"]
            self.assertLessEqual(latency["p50"], latency["p99"])
            with self.assertRaises(OSError) as caught:
                os.getxattr(mount / BIG, ATTRIBUTE)
            self.assertEqual(caught.exception.errno, errno.ENODATA)

    def test_report_by_signal(self):
        """SIGUSR1 logs the same object, on one line."""
        with Mount(image) as mount:
            contents(mount / BIG)
            mount.process.send_signal(signal.SIGUSR1)
            log = ""

            def complete():
                nonlocal log
                log += mount.take_log()
                return log.endswith("\n")
            wait_until(complete, "a report")
            self.assertEqual(log.count("\n"), 1)
            told = json.loads(log.split(": ", 1)[1])
            self.assertGreater(told["bytes_served"], 0)

    def test_preload_makes_reads_unnecessary(self):
        """Once the weights file is preloaded, reading it asks the daemon for nothing."""
        size = os.path.getsize(os.path.join(extracted, BIG))
        with Mount(image, "-o", "stats,preload=1G") as mount:
            wait_until(lambda: stats(mount)["bytes_served"] >= size, "the preload")
            # The last step is counted before the kernel has its pages.
            wait_until(lambda: self.read_without_request(mount), "pages in the cache")

    def test_preload_of_weight_files(self):
        """Of an image without the file of all codes, the model's weight files are preloaded, and nothing else."""
        source = shop.path("floats")
        modellib.write_model(source, {name: modellib.Tensor.of("BF16", np.random.default_rng(7).standard_normal((512, 1000)))
                                      for name in ("a", "b")})
        floats = shop.pack(source, "floats.efs", "--view=model")
        size = os.path.getsize(os.path.join(source, "model.safetensors"))
        with Mount(floats, "-o", "stats,preload=1G") as mount:
            wait_until(lambda: stats(mount)["bytes_served"] >= size, "the preload")
            wait_until(lambda: self.read_without_request(mount, "model.safetensors", None), "pages in the cache")
            self.assertEqual(stats(mount)["bytes_served"], size)

    def read_without_request(self, mount, name=BIG, expected=BIG):
        before = stats(mount)["reads"]
        data = contents(mount / name)
        if expected:
            self.assertTrue(data == contents(os.path.join(extracted, expected)))
        return stats(mount)["reads"] == before

    def test_compressed_drops_decoded_pages(self):
        """With cache=compressed a second reading of a file decodes again what did not fit."""
        shop_big = shop.path("long")
        dice = random.Random(1)
        modellib.write_model(shop_big, {
            "w": modellib.Tensor("U8", [40 << 20],
                                 bytes(dice.choices(range(100, 140), k=1 << 20)) * 40)})
        long_image = shop.pack(shop_big, "long.efs")
        with Mount(long_image, "-o", "stats,cache=compressed") as mount:
            first = contents(mount / BIG)
            served = stats(mount)["bytes_served"]
            self.assertTrue(contents(mount / BIG) == first)
            self.assertGreater(stats(mount)["bytes_served"], served + (10 << 20))
        with Mount(long_image, "-o", "stats") as mount:
            self.assertTrue(contents(mount / BIG) == first)

            def asks_for_nothing():
                served = stats(mount)["bytes_served"]
                self.assertTrue(contents(mount / BIG) == first)
                return stats(mount)["bytes_served"] == served
            # Not at the first try where somebody drops the caches of the whole machine.
            wait_until(asks_for_nothing, "pages that stay")


class Pushing(unittest.TestCase):
    """What small requests in order get before they ask for it."""

    def scan(self, mount):
        """Reads a mapping a page at a time, in order, and compares; how many requests that took."""
        want, before = contents(os.path.join(extracted, BIG)), stats(mount)["reads"]
        with open(mount / BIG, "rb") as file, \
                mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ) as view:
            view.madvise(mmap.MADV_RANDOM)
            for at in range(0, len(want), mmap.PAGESIZE):
                self.assertEqual(view[at:at + mmap.PAGESIZE], want[at:at + mmap.PAGESIZE])
        return stats(mount)["reads"] - before, -(-len(want) // mmap.PAGESIZE)

    def test_a_mapping_without_readahead(self):
        for options in "stats", "stats,cache=compressed", "stats,cachesize=0", "stats,workers=1":
            with self.subTest(options), Mount(image, "-o", options) as mount:
                requests, pages = self.scan(mount)
                self.assertLess(requests, pages)
                self.assertGreater(stats(mount)["bytes_pushed"], 0)

    def test_where_it_is_not_done(self):
        """With one thread, which has to answer; and where nothing is to be read ahead."""
        for options in ("-s", "-o", "stats"), ("-o", "stats,readahead=0"):
            with self.subTest(options), Mount(image, *options) as mount:
                requests, pages = self.scan(mount)
                self.assertGreaterEqual(requests, pages)
                self.assertEqual(stats(mount)["bytes_pushed"], 0)

    def test_not_past_the_page_cache(self):
        """Who reads with O_DIRECT does not look there."""
        want = contents(os.path.join(extracted, BIG))
        buffer = mmap.mmap(-1, 1 << 14)
        with Mount(image, "-o", "stats") as mount:
            fd = os.open(mount / BIG, os.O_RDONLY | os.O_DIRECT)
            self.addCleanup(os.close, fd)
            for at in range(0, len(want), len(buffer)):
                got = os.preadv(fd, [buffer], at)
                self.assertEqual(buffer[:got], want[at:at + got])
            self.assertEqual(stats(mount)["bytes_pushed"], 0)


class Stress(unittest.TestCase):
    def test_readers_while_caches_are_dropped(self):
        """Faults and reads by 16 threads, page caches dropped meanwhile: every byte right, nobody
        hangs, memory within its limit. STRESS_SECONDS sets how long."""
        kept = shop.pack(shop.path("model"), "lossless.efs", "--lossless")
        codes = {name: contents(os.path.join(extracted, name)) for name in (BIG, WEIGHTS)}
        weights = {WEIGHTS: contents(os.path.join(shop.path("model"), WEIGHTS))}
        for source, want, options in ((image, codes, "stats"), (image, codes, "stats,cache=compressed"),
                                      (image, codes, "stats,readahead=1M,cachesize=256k"), (kept, weights, "stats")):
            with Mount(source, "-o", options) as mount:
                self.stress(mount, want, STRESS_SECONDS / 4)
                limit = RSS_LIMIT
                if "address" not in os.environ.get("BUILD", "") and \
                        "thread" not in os.environ.get("BUILD", ""):
                    self.assertLess(peak_memory(mount.process.pid), limit)

    def stress(self, mount, files, seconds):
        """files: the bytes of each; threads share them out."""
        end = time.monotonic() + seconds
        wrong, names = [], sorted(files)

        def by_fault(seed):
            dice, name = random.Random(seed), names[seed % len(names)]
            want = files[name]
            with open(mount / name, "rb") as file, \
                    mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED,
                              prot=mmap.PROT_READ) as view:
                if seed % 4 < 2:
                    view.madvise(mmap.MADV_RANDOM)
                while time.monotonic() < end:
                    at = dice.randrange(len(want))
                    size = dice.choice((1, 4096, 20000, 500_000))
                    if view[at:at + size] != want[at:at + size]:
                        wrong.append(("fault", seed, at, size))
                    if dice.randrange(20) == 0:
                        view.madvise(mmap.MADV_DONTNEED)

        def by_read(seed):
            dice, name = random.Random(seed), names[seed % len(names)]
            want = files[name]
            fd = os.open(mount / name, os.O_RDONLY)
            while time.monotonic() < end:
                at = dice.randrange(len(want))
                size = dice.choice((1, 4096, 100_000, 1_500_000))
                if os.pread(fd, size, at) != want[at:at + size]:
                    wrong.append(("read", seed, at, size))
                if dice.randrange(10) == 0:
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)

        def drop():
            while time.monotonic() < end:
                try:
                    with open("/proc/sys/vm/drop_caches", "w") as file:
                        file.write("1")
                except OSError:
                    pass  # not root: the readers' own advice has to do
                time.sleep(0.2)

        def in_order(name):
            want = files[name]
            with open(mount / name, "rb") as file, \
                    mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED,
                              prot=mmap.PROT_READ) as view:
                view.madvise(mmap.MADV_RANDOM)
                while time.monotonic() < end:
                    for at in range(0, len(want), mmap.PAGESIZE):
                        if view[at:at + mmap.PAGESIZE] != want[at:at + mmap.PAGESIZE]:
                            wrong.append(("in order", at))
                    view.madvise(mmap.MADV_DONTNEED)

        threads = [threading.Thread(target=by_fault, args=(seed,)) for seed in range(7)]
        threads += [threading.Thread(target=by_read, args=(seed,)) for seed in range(6)]
        threads += [threading.Thread(target=in_order, args=(names[i % len(names)],)) for i in range(2)]
        threads.append(threading.Thread(target=drop))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 120)
            self.assertFalse(thread.is_alive(), "a reader hangs")
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()
