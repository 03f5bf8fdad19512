# SPDX-License-Identifier: MIT
"""dump.entrofs --html: what is in the page and how it becomes a file; test_html.py opens it."""
import html.parser
import json
import os
import signal
import struct
import subprocess
import time
import unittest

import numpy as np

import modellib
from htmllib import GROUPS, Pages, data_of, one_stream_image, pack, page, rows
from modellib import Tensor
from test_fsck import BUILD, dump, fsck, read, read_catalog, run, tensor_at, write

SHOWN, DAMAGED, USAGE = 0, 1, 2


class File(Pages):
    """What can be said of the page without a browser."""

    def test_figures(self):
        """Every figure of the page is that of dump --json."""
        shown, found = json.loads(dump("--json", "--tables", self.image).stdout), data_of(self.page)
        listed = {t["name"]: t for t in rows(found["tensors"])}
        self.assertEqual(len(listed), len(self.tensors))
        for tensor in shown["tensors"]:
            mine, stream = listed[tensor["name"]] if len(tensor["name"]) < 240 else None, \
                shown["streams"][tensor["stream"]]
            if mine is None:
                mine = next(t for name, t in listed.items() if name.endswith("…"))
                self.assertTrue(tensor["name"].startswith(mine["name"][:-1]))
                self.assertEqual(len(mine["name"]), 241)
            for key, other in (("dtype", "dtype"), ("shape", "shape"), ("weights", "weights"), ("source", "source_bytes"),
                               ("raw", "raw_bytes"), ("payload", "payload"), ("index", "index"),
                               ("padding", "padding"), ("entropy", "entropy_bits"), ("sqnr", "sqnr_db"),
                               ("max_error", "max_error"), ("scale", "scale"), ("zero", "zero_point"),
                               ("stream", "stream")):
                self.assertEqual(mine[key], tensor[other], (tensor["name"], key))
            self.assertEqual(mine["as"], {8: "uint8", 4: "uint4", None: "kept"}[tensor["bits"]])
            self.assertEqual(mine["scheme"], tensor["scheme"] or "kept")
            self.assertEqual([mine["coded"], mine["raw_blocks"], mine["constant"]],
                             [stream["blocks"][kind] for kind in ("coded", "raw", "constant")])
            self.assertEqual((mine["tables"], mine["damaged"]), (len(stream["tables"]), 0))
        for key in "space", "contents", "totals":
            self.assertEqual(found[key], shown[key])
        self.assertEqual(found["image"]["digest"], shown["superblock"]["digest"])

    def test_layers(self):
        """Every tensor is in the layer of its name, layers are in order and add up to their tensors."""
        found = data_of(self.page)
        layers, tensors = rows(found["layers"]), rows(found["tensors"])
        names = [layer["name"] for layer in layers]
        self.assertEqual(len(set(names)), len(names))
        for name in "model.layer.0", "model.layer.1", "model.embed", "norm", "a":
            self.assertIn(name, names)
        self.assertLess(names.index("model.layer.0"), names.index("model.layer.1"))
        for i, layer in enumerate(layers):
            mine = [t for t in tensors if t["layer"] == i]
            self.assertEqual((layer["tensors"], layer["merged"]), (len(mine), 1))
            self.assertEqual(layer["weights"], sum(t["weights"] for t in mine))
            for kind in "index", "padding":
                self.assertEqual(layer[kind], sum(t[kind] for t in mine))
            for group in GROUPS:
                self.assertEqual(layer[group], sum(t["payload"] for t in mine if t["as"] == group))
            for tensor in mine:
                self.assertTrue(tensor["name"].startswith(layer["name"]))

    def test_histograms(self):
        """They are counts of the real codes, without the filler of an odd number of uint4 codes."""
        self.assertEqual(fsck("-x", self.path("tree"), self.image).returncode, 0)
        shown = {t["name"]: t for t in json.loads(dump("--json", self.image).stdout)["tensors"]}
        found = data_of(self.page)
        self.assertEqual((found["histograms"]["counted"], found["histograms"]["width"]), (True, 1))
        for tensor, counts in zip(rows(found["tensors"]), found["histograms"]["rows"], strict=True):
            name = tensor["name"] if tensor["name"] in shown else max(shown, key=len)
            codes = np.frombuffer(read(self.path("tree", shown[name]["file"])), np.uint8)
            if tensor["as"] == "uint4":
                codes = np.stack([codes & 15, codes >> 4], axis=1).ravel()[:tensor["weights"]]
            expected = np.bincount(codes, minlength=16 if tensor["as"] == "uint4" else 256)
            self.assertEqual(counts, expected.tolist(), name)

    def test_self_contained(self):
        """The markup names nothing outside, the policy forbids all, and names are in the data only."""
        text = read(self.page).decode()

        class Tags(html.parser.HTMLParser):
            def __init__(self):
                super().__init__()
                self.tags = []

            def handle_starttag(self, tag, attrs):
                self.tags.append((tag, dict(attrs)))

        parser = Tags()
        parser.feed(text)
        for tag, attributes in parser.tags:
            self.assertFalse({"src", "href", "action", "srcset", "style"} & set(attributes), (tag, attributes))
            self.assertNotIn(tag, ("link", "iframe", "img", "object", "base"))
        self.assertEqual([tag for tag, _ in parser.tags].count("script"), 2)
        policy = next(a["content"] for _, a in parser.tags if a.get("http-equiv") == "Content-Security-Policy")
        self.assertRegex(policy, r"^default-src 'none'; style-src 'sha256-[\w+/]{43}='; "
                                 r"script-src 'sha256-[\w+/]{43}='; base-uri 'none'; form-action 'none'$")
        self.assertNotIn("url(", text)
        self.assertNotIn("@import", text)
        data = text[text.index('id="data">') + 10:]
        data = data[:data.index("</script>")]
        for character in "<>&":
            self.assertNotIn(character, data)
        self.assertNotIn("pwned", text.replace(data, ""))

    def test_deterministic(self):
        """The same image gives the same bytes, whatever the number of threads."""
        for arguments in ["--jobs=1"], ["-j5"]:
            self.assertEqual(page(self.image, self.path("again.html"), "--force", *arguments).returncode, 0)
            self.assertEqual(read(self.path("again.html")), read(self.page))

    def test_stdout(self):
        done = page(self.image, "-")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, read(self.page), b""))
        if os.path.exists("/dev/full"):
            with open("/dev/full", "wb") as full:
                done = run("dump.entrofs", "--html=-", self.image, stdout=full)
            self.assert_result(done, 1, "cannot write 'standard output': No space left")

    def test_offset(self):
        write(self.path("inside"), bytes(12345) + read(self.image))
        self.assertEqual(page(self.path("inside"), self.path("inside.html"), "-o", "12345").returncode, 0)
        self.assertEqual(data_of(self.path("inside.html"))["image"]["digest"], data_of(self.page)["image"]["digest"])

    def test_no_histograms(self):
        """Without them only the indexes are read, and the page says so."""
        target = self.path("quick.html")
        self.assertEqual(page(self.image, target, "--no-histograms").returncode, 0)
        quick, full = data_of(target), data_of(self.page)
        self.assertEqual(quick["histograms"], {"counted": False, "width": 1, "rows": []})
        self.assertEqual(quick["check"]["decoded"], 0)
        for key in "tensors", "layers", "space", "totals", "model":
            self.assertEqual(quick[key], full[key])

    def test_usage(self):
        for arguments in (["--html"], ["--html=x", "--json", self.image], ["--html=x", "-t", self.image],
                          ["--force", self.image], ["--no-histograms", self.image],
                          ["--html=x", "--jobs=0", self.image], ["--html=x"]):
            self.assert_result(dump(*arguments), USAGE, "--help")


class Target(Pages):
    """The page appears whole or not at all, and before the work it is known whether it can."""

    def test_existing(self):
        """What exists stays without --force, and is replaced only by a whole page."""
        target, link = self.path("existing.html"), self.path("link.html")
        write(target, b"mine")
        os.symlink(target, link)
        for path in target, link:
            self.assert_result(page(self.image, path), 1, "cannot create", path, "it exists (--force replaces it)")
        self.assertEqual(read(target), b"mine")
        self.assertEqual(page(self.image, link, "-f").returncode, 0)
        self.assertFalse(os.path.islink(link))
        self.assertEqual(read(target), b"mine")
        self.assertEqual(read(link), read(self.page))

    def test_impossible(self):
        os.mkdir(self.path("folder"))
        for path, why in ((self.path("folder"), "it is a folder"), (self.path("no", "where.html"), "No such file"),
                          ("/dev/null", "not a regular file"), (self.path("folder", ""), "it names a folder"),
                          ("", "No such file")):
            self.assert_result(page(self.image, path, "--force"), 1, f"cannot create '{path}'", why)
        self.assertEqual(os.listdir(self.path("folder")), [])

    def test_image_is_never_replaced(self):
        """Not by its own page, whatever name it goes by."""
        copy = self.path("copy.efs")
        write(copy, read(self.image))
        os.symlink(copy, self.path("alias"))
        os.link(copy, self.path("twin"))
        for path in copy, self.path("alias"), self.path("twin"):
            self.assert_result(page(copy, path, "--force"), 1, "cannot create", "it is the image")
        self.assertEqual(read(copy), read(self.image))

    def test_refused_before_the_work(self):
        """Data that would take long is not gone through for a page that cannot be written."""
        damaged = bytearray(read(self.image))
        damaged[4200] ^= 1
        write(self.path("damaged.efs"), damaged)
        write(self.path("taken.html"), b"mine")
        done = page(self.path("damaged.efs"), self.path("taken.html"))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.decode().count("\n"), 1, "the damage is not found")

    def test_bad_image(self):
        """No page is left of an image that cannot be opened."""
        write(self.path("cut.efs"), read(self.image)[:5000])
        for image in self.path("cut.efs"), self.path("absent"), self.scratch.name:
            self.assert_result(page(image, self.path("never.html")), 1, "cannot ")
            self.assertFalse(os.path.exists(self.path("never.html")))

    def test_full_disk(self):
        """A file that may not grow is an error, and leaves nothing."""
        os.mkdir(self.path("small"))
        target = self.path("small", "page.html")
        done = subprocess.run(["bash", "-c", 'ulimit -f 8; exec "$@"', "bash", os.path.join(BUILD, "dump.entrofs"),
                               "--html", target, self.image], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, check=False)
        self.assert_result(done, 1, f"cannot write '{target}'", "File too large")
        self.assertEqual(os.listdir(self.path("small")), [])

    def test_closed_descriptors(self):
        """Nothing that is printed gets into the page because standard descriptors are closed."""
        target = self.path("closed.html")
        subprocess.run(["bash", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "bash", os.path.join(BUILD, "dump.entrofs"),
                        "--html", target, self.image], timeout=60, check=True)
        self.assertEqual(read(target), read(self.page))

    def test_interrupted(self):
        """SIGTERM ends it, with nothing left behind."""
        folder = self.path("interrupted")
        os.mkdir(folder)
        image = self.path("slow.efs")
        noise = np.random.default_rng(1).integers(0, 256, 64 << 20, np.uint8)
        os.mkdir(self.path("slow"))
        modellib.write_safetensors(self.path("slow", "model.safetensors"), {"w": Tensor("U8", noise.shape, noise)})
        pack(self.path("slow"), image, "--no-verify")
        process = subprocess.Popen([os.path.join(BUILD, "dump.entrofs"), "--html", os.path.join(folder, "page.html"),
                                    "-j1", image], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                   preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
        deadline = time.monotonic() + 20
        while len(os.listdir(f"/proc/{process.pid}/task")) < 2:  # the one that waits for signals
            self.assertIsNone(process.poll())
            self.assertLess(time.monotonic(), deadline)
        process.terminate()
        said = process.communicate(timeout=60)[1].decode()
        self.assertEqual(process.returncode, -signal.SIGTERM, said)
        self.assertIn("ended by SIGTERM", said)
        self.assertEqual(os.listdir(folder), [])


class Damage(Pages):
    """A damaged image has a page that says so."""

    def damaged(self, name, at):
        data = bytearray(read(self.image))
        data[at] ^= 0x10
        write(self.path(name), data)
        return self.path(name)

    def stream(self, name):
        """(offset, stored size, offset of its index) of a tensor's stream."""
        shown = json.loads(dump("--json", self.image).stdout)
        number = next(t["stream"] for t in shown["tensors"] if t["name"] == name)
        catalog = read_catalog(read(self.image))
        tensors, = struct.unpack_from("<I", catalog, 8)
        offset, stored, _, index = struct.unpack_from("<4Q", catalog, tensor_at(catalog, tensors) + 56 * number)
        return offset, stored, index

    def check(self, image, tensor, *texts):
        target = image + ".html"
        done = page(image, target)
        self.assert_result(done, DAMAGED, "cannot verify", f"tensor '{tensor}'", *texts)
        found = data_of(target)
        self.assertEqual((found["check"]["findings"], len(found["check"]["listed"])), (1, 1))
        self.assertEqual(found["check"]["listed"][0]["tensor"], tensor)
        good = data_of(self.page)
        for row, mine, counts, sound in zip(rows(found["tensors"]), rows(good["tensors"]),
                                            found["histograms"]["rows"], good["histograms"]["rows"], strict=True):
            self.assertEqual(row["damaged"], int(row["name"] == tensor))
            self.assertEqual(counts, None if row["name"] == tensor else sound)
            self.assertEqual(row["payload"], mine["payload"])
        return found

    def test_block(self):
        offset, stored, _ = self.stream("model.embed.weight")
        found = self.check(self.damaged("block.efs", offset + stored // 2), "model.embed.weight", "block")
        self.assertIn("block", found["check"]["listed"][0]["message"])

    def test_index(self):
        """Without its index nothing of a stream can be read, nor told of its blocks."""
        found = self.check(self.damaged("index.efs", self.stream("model.layer.0.weight")[2]), "model.layer.0.weight",
                           "index")
        row = next(t for t in rows(found["tensors"]) if t["damaged"])
        self.assertEqual((row["coded"], row["raw_blocks"], row["constant"]), (None, None, None))

    def test_index_without_histograms(self):
        image = self.damaged("quick.efs", self.stream("model.layer.0.weight")[2])
        self.assert_result(page(image, image + ".html", "--no-histograms"), DAMAGED, "model.layer.0.weight", "index")
        self.assertEqual(data_of(image + ".html")["check"]["findings"], 1)

    def test_sidecar(self):
        """A file that cannot be read is a finding, too."""
        raw = read(self.image)
        catalog = read_catalog(raw)
        counts = struct.unpack_from("<5I", catalog)
        blob = tensor_at(catalog, counts[2]) + 56 * counts[3]
        offset, = struct.unpack_from("<Q", catalog, blob)
        image = self.damaged("blob.efs", offset + 3)
        self.assert_result(page(image, image + ".html"), DAMAGED, "cannot verify", "blob 0")
        self.assertIn("blob 0", data_of(image + ".html")["check"]["listed"][0]["message"])

    def test_inflated(self):
        """An image that claims far more than it holds is not gone through, unless only for its indexes."""
        image, size, block = self.path("inflated.efs"), 1 << 35, 16
        blocks = size >> block
        index = bytes(6 * blocks) + b"\2" * blocks + bytes(blocks)
        write(image, one_stream_image(size, block, index))
        target = image + ".html"
        self.assert_result(page(image, target), 1, "it claims 32.0 GiB of data", "--no-histograms")
        self.assertFalse(os.path.exists(target))
        self.assertEqual(page(image, target, "--no-histograms").returncode, 0)
        tensor, = rows(data_of(target)["tensors"])
        self.assertEqual((tensor["weights"], tensor["payload"], tensor["constant"]), (size, 0, blocks))


if __name__ == "__main__":
    unittest.main()
