# SPDX-License-Identifier: MIT
"""dump.entrofs --html: what a browser makes of the page; test_html_file.py reads it.

With ENTROFS_SCREENSHOTS=FOLDER pictures of the pages are left there, for a person to look at.
"""
import json
import os
import unittest

import numpy as np

import chromium
import modellib
from htmllib import GROUPS, HOSTILE, Pages, data_of, pack, page, rows, sidecar_image
from modellib import Tensor
from test_fsck import dump, fsck, read, write

COUNT = 3000


def setUpModule():
    global browser
    browser = None if chromium.why_none() else chromium.Browser()


def tearDownModule():
    if browser:
        browser.close()


class InBrowser(Pages):
    """For tests that open pages: whatever they do, the console stays silent and nothing is fetched."""

    def setUp(self):
        if not browser:
            self.skipTest(chromium.why_none())

    def open(self, path, **options):
        browser.open(path, **options)
        self.addCleanup(self.check_silence)
        folder = os.environ.get("ENTROFS_SCREENSHOTS")
        if folder:
            browser.screenshot(os.path.join(folder, self.id().split(".")[-1] + ".png"))

    def check_silence(self):
        self.assertEqual(browser.complaints(), [])
        self.assertEqual(len(browser.requests()), 1, browser.requests())
        self.assertIsNone(browser.run("window.pwned"))

    def texts(self, selector):
        return browser.run(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)")

    def text(self, selector):
        return self.texts(selector)[0]

    def click(self, selector, number=0):
        browser.run(f"document.querySelectorAll({json.dumps(selector)})[{number}].click()")
        browser.settle()

    def set(self, selector, value):
        browser.run(f"(e => {{ e.value = {json.dumps(value)}; e.dispatchEvent(new Event('input')); "
                    f"e.dispatchEvent(new Event('change')); }})(document.querySelector({json.dumps(selector)}))")
        browser.settle()

    def column(self, number):
        return self.texts(f"#tensors tbody td:nth-child({number})")


class Page(InBrowser):
    def test_overview(self):
        """The document shows the figures of dump --json."""
        self.open(self.page)
        shown = json.loads(dump("--json", self.image).stdout)
        self.assertEqual(self.text("#name"), "mixed.efs")
        self.assertEqual(browser.run("document.title"), "mixed.efs – entrofs image")
        self.assertIn(shown["superblock"]["digest"], self.text("#digest"))
        self.assertIn(f"{sum(t['weights'] for t in shown['tensors']):,} weights in {len(self.tensors)} tensors",
                      self.text("#about"))
        for kind in "index", "blobs", "catalog", "hash_tree", "superblock", "padding":
            cells = self.texts(f"#kinds tr[data-kind={kind}] td.n")
            self.assertEqual(cells[0], f"{shown['space'][kind]:,}")
            self.assertEqual(cells[1], f"{shown['space'][kind] * 100 / shown['space']['total']:.3f} %")
        for group in GROUPS:
            payload = sum(t["payload"] for t in shown["tensors"] if t["bits"] == {"uint8": 8, "uint4": 4}.get(group))
            self.assertEqual(self.text(f"#kinds tr[data-kind={group}] td.n"), f"{payload:,}")
        quantized = [shown["totals"][group] for group in ("uint8", "uint4")]
        bits = sum(t["stored_bytes"] for t in quantized) * 8 / sum(t["weights"] for t in quantized)
        source = sum(t["source_bytes"] for t in shown["tensors"]) + shown["contents"]["sidecar_bytes"]
        figures = self.texts("#tiles .figure")
        self.assertEqual(figures[1], f"{os.path.getsize(self.image) * 100 / source:.1f} %")
        self.assertEqual(figures[2], f"{bits:.3f}")
        self.assertIn("every checksum was right", self.text("#foot"))
        self.assertFalse(browser.run("byId('damage').checkVisibility()"))

    def test_table(self):
        """Each row has its tensor's figures; it starts with what takes the most bytes."""
        self.open(self.page)
        shown = sorted(json.loads(dump("--json", self.image).stdout)["tensors"], key=lambda t: -t["stored_bytes"])
        self.assertEqual(len(self.column(1)), len(shown))
        for number, (tensor, name, bits, noise) in enumerate(zip(shown, self.column(1), self.column(6),
                                                                 self.column(9))):
            if not set(tensor["name"]) & set("\x1b\x07\n\t\u202e") and len(tensor["name"]) < 240:
                self.assertEqual(name, tensor["name"])
            self.assertEqual(bits, f"{tensor['bits_per_weight']:.3f}" if tensor["weights"] else "–", number)
            expected = "–" if not tensor["bits"] else "exact" if tensor["sqnr_db"] is None else f"{tensor['sqnr_db']:.2f}"
            self.assertEqual(noise, expected, name)

    def test_hostile_names(self):
        """Names are shown as text, their control characters as pictures, and none becomes an element."""
        self.open(self.page)
        names = self.column(1)
        for name in HOSTILE[:3] + HOSTILE[4:]:
            self.assertIn(name, names)
        self.assertIn("\ufffdgnp.\u241b[31m\u2407\u240a\u2409\"'&amp;", names)
        self.assertEqual(browser.run("document.scripts.length"), 2)
        self.assertEqual(browser.run("document.images.length"), 0)

    def test_policy(self):
        """Even if a name could become a script, it would not run, nor could anything be fetched."""
        self.open(self.page)
        browser.run("""const script = document.createElement('script');
            script.textContent = 'window.pwned = 3';
            document.body.append(script);
            const image = document.createElement('img');
            image.setAttribute('onerror', 'window.pwned = 4');
            image.src = 'https://example.org/';
            document.body.append(image);
            const style = document.createElement('style');
            style.textContent = 'body { background: url(https://example.org/) }';
            document.body.append(style); 0""")
        self.assertEqual(browser.run("fetch('https://example.org/').then(() => 'fetched', () => 'refused')"), "refused")
        browser.settle()
        self.assertTrue(all("Content Security Policy" in json.dumps(e) for e in browser.complaints()))
        self.assertGreaterEqual(len(browser.complaints()), 4)
        browser.events = [e for e in browser.events if e.get("method") not in ("Log.entryAdded",) and
                          "example.org" not in json.dumps(e)]

    def test_sorting(self):
        """Headers sort, both ways, numbers by size and names naturally; what has no figure is last."""
        self.open(self.page)
        shown = json.loads(dump("--json", self.image).stdout)["tensors"]
        self.click("#tensors thead button", 5)
        self.assertEqual(browser.run("document.querySelector('[aria-sort]').textContent"), "Bits")
        bits = sorted((t["bits_per_weight"] for t in shown), reverse=True)
        self.assertEqual([0 if cell == "–" else float(cell) for cell in self.column(6)], [round(b, 3) for b in bits])
        self.click("#tensors thead button", 5)
        self.assertEqual(browser.run("document.querySelector('[aria-sort]').getAttribute('aria-sort')"), "ascending")
        self.assertEqual(self.column(6)[-1], f"{bits[0]:.3f}")
        self.click("#tensors thead button", 8)
        noise = self.column(9)
        kept = sum(t["bits"] is None for t in shown)
        self.assertEqual(noise[-kept:], ["–"] * kept)
        self.assertEqual(noise[0], "exact")
        numbers = [float(cell) for cell in noise if cell not in ("–", "exact")]
        self.assertEqual(numbers, sorted(numbers, reverse=True))
        self.click("#tensors thead button", 0)
        names = self.column(1)
        self.assertLess(names.index("model.layer.0.weight"), names.index("model.layer.1.weight"))

    def test_filtering(self):
        """By all words of a name, and by encoding; the number found is told."""
        self.open(self.page)
        self.set("#filter", "LAYER weight")
        self.assertEqual(sorted(self.column(1)), [f"model.layer.{i}.weight" for i in range(3)])
        self.assertIn(f"3 of {len(self.tensors)} tensors", self.text("#found"))
        self.set("#filter-as", "uint4")
        self.assertEqual(self.column(1), ["model.layer.1.weight"])
        self.set("#filter", "")
        self.assertEqual(sorted(self.column(1)), ["model.layer.1.weight", "odd4", "one4", "zero"])
        self.set("#filter", "nothing is called so")
        self.assertEqual(self.column(1), [])
        self.assertIn("0 of", self.text("#found"))
        self.set("#filter-as", "")
        self.click("#layers tbody button", self.texts("#layers tbody button").index("model.embed"))
        self.assertEqual(self.column(1), ["model.embed.weight"])

    def test_detail(self):
        """A tensor opens with all its figures and its histogram; keys go on to the next and close."""
        self.open(self.page)
        self.set("#filter", "odd4")
        self.click("#tensors tbody button")
        self.assertTrue(browser.run("byId('detail').open"))
        tensor = next(t for t in json.loads(dump("--json", self.image).stdout)["tensors"] if t["name"] == "odd4")
        facts = dict(zip(self.texts("#detail dt"), self.texts("#detail dd"), strict=True))
        self.assertEqual(facts["Shape"], "7 × 9")
        self.assertEqual(facts["Stored"], f"{tensor['stored_bytes']:,} B")
        self.assertEqual(facts["Entropy"], f"{tensor['entropy_bits']:.4f}")
        self.assertEqual(facts["Zero point"], str(tensor["zero_point"]))
        self.assertEqual(float(facts["Scale"]), tensor["scale"])
        self.assertIn("of 16 occur", self.text("#detail .hint"))
        browser.run("document.querySelector('#detail svg').focus()")
        for code in range(16):
            browser.press("ArrowRight")
            self.assertTrue(self.text("#said").startswith(f"code {code}: "), code)
        self.click("#detail input[type=checkbox]")
        self.assertTrue(browser.run("byId('detail').querySelector('svg path').getAttribute('d').length > 10"))
        browser.press("Escape")
        browser.press("Escape")
        self.assertFalse(browser.run("byId('detail').open"))
        self.set("#filter", "")
        self.click("#tensors tbody button")
        first = self.text("#detail-name")
        self.click("#detail nav button", 1)
        self.assertNotEqual(self.text("#detail-name"), first)
        self.click("#detail nav button", 0)
        self.assertEqual(self.text("#detail-name"), first)

    def test_every_detail(self):
        """Every tensor can be opened: constant, empty and kept ones, too."""
        self.open(self.page)
        for number in range(len(self.tensors)):
            browser.run(f"openDetail(TENSORS[{number}])")
            browser.settle()
            self.assertEqual(browser.run("byId('detail').querySelectorAll('svg').length"), 1)
        self.assertIn("There is nothing in it.", [browser.run(
            "codesInWords(TENSORS.find(t => t.name === 'empty'))")])
        browser.run("byId('detail').close()")

    def test_map(self):
        """Areas are in proportion to stored bytes, whatever they are coloured by; keys walk over them."""
        self.open(self.page)
        shown = json.loads(dump("--json", self.image).stdout)["tensors"]
        for choice in "as", "bits", "above", "sqnr":
            self.set("#map-colour", choice)
            self.assertGreaterEqual(browser.run("document.querySelectorAll('#map .tile-rect').length"), len(shown))
        browser.run("document.querySelector('#map svg').focus()")
        browser.press("ArrowRight")
        largest = max(shown, key=lambda t: t["stored_bytes"])
        self.assertTrue(self.text("#said").startswith(largest["name"] + ": stored"), self.text("#said"))
        browser.press("Enter")
        self.assertEqual(self.text("#detail-name"), largest["name"])
        browser.press("Escape")
        areas = browser.run("""(() => { const groups = mapGroups(); squarify(groups, {x: 0, y: 0, w: 1000, h: 500});
            return groups.map(group => [group.size, group.w * group.h]); })()""")
        total = sum(size for size, _ in areas)
        self.assertEqual(total, os.path.getsize(self.image))
        for size, area in areas:
            self.assertAlmostEqual(size / total, area / 500000, places=9)

    def test_plots(self):
        """A dot for each tensor that has the figures."""
        self.open(self.page)
        shown = json.loads(dump("--json", self.image).stdout)["tensors"]
        some = sum(t["weights"] > 0 for t in shown)
        noisy = sum(t["sqnr_db"] is not None for t in shown)
        dots = [browser.run(f"document.querySelectorAll('#plot-{name} .dot').length")
                for name in ("bits", "above", "error")]
        self.assertEqual(dots, [some, some, noisy])

    def test_narrow(self):
        """On a phone nothing is wider than the screen but what scrolls by itself; dark is dark."""
        lights = []
        for width, scheme in (400, "light"), (400, "dark"), (320, "light"), (1200, "dark"):
            self.open(self.page, width=width, scheme=scheme)
            self.assertLessEqual(browser.run("document.documentElement.scrollWidth"), width)
            lights.append(browser.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] > 128"))
            self.assertGreater(browser.run("document.querySelectorAll('#map .tile-rect').length"), 10)
            browser.run("openDetail(TENSORS[0])")
            browser.settle()
            self.assertLessEqual(browser.run("byId('detail').scrollWidth"), width)
            self.check_silence()
        self.assertEqual(lights, [True, False, True, False])

    def test_names_for_who_cannot_see(self):
        """Every control has a name, every table's columns have heads, and ids occur once."""
        self.open(self.page)
        self.assertEqual(browser.run("""[...document.querySelectorAll('button, input, select, svg[tabindex], [role=region]')]
            .filter(e => !(e.textContent.trim() || e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') ||
                (e.labels && e.labels.length))).map(e => e.outerHTML)"""), [])
        self.assertEqual(browser.run("[...document.querySelectorAll('thead th')].filter(e => e.scope !== 'col').length"), 0)
        self.assertEqual(browser.run("""(ids => ids.length - new Set(ids).size)(
            [...document.querySelectorAll('[id]')].map(e => e.id))"""), 0)


class Odd(InBrowser):
    """Images at the edges of what there can be."""

    def show(self, name, tensors, *options):
        model, image, target = self.path(name), self.path(name + ".efs"), self.path(name + ".html")
        modellib.write_model(model, tensors)
        pack(model, image, *options)
        self.assertEqual(page(image, target).returncode, 0)
        self.open(target)
        return json.loads(dump("--json", image).stdout)

    def test_one_tensor(self):
        for name, array in (("tiny", [[0.5]]), ("pair", [[1.0, -2.0]]), ("nothing", np.zeros((0, 3)))):
            shown = self.show(name, {"w": Tensor.of("F32", array)})
            self.assertEqual(self.column(1), ["w"])
            self.assertIn(f"{shown['tensors'][0]['weights']:,} weight", self.text("#about"))

    def test_one_uint4(self):
        """The odd code's filler is nobody's code."""
        self.show("odd", {"w": Tensor.of("F32", [[1.0, 2.0, 15.0]])}, "--bits=4")
        self.assertEqual(browser.run("TENSORS[0].counts"), [0, 1, 1] + 12 * [0] + [1])

    def test_kept_only(self):
        self.show("kept", {"norm": Tensor.of("F32", np.linspace(0, 1, 500)), "i": Tensor.of("I64", np.arange(9))})
        self.assertEqual(self.texts("#tiles .figure")[3], "exact")
        self.assertIn("nothing is quantized", self.text("#tiles"))
        self.assertIn("Nothing is quantized", self.text("#plot-error"))

    def test_constant_only(self):
        self.show("constant", {"c": Tensor.of("F32", np.full((300, 300), 2.5)), "z": Tensor.of("BF16", np.zeros((9, 9)))})
        self.assertEqual([row[9 - 1] for row in zip(*[self.column(i) for i in range(1, 12)])], ["exact", "exact"])

    def test_several_tables(self):
        """A tensor whose halves differ has several tables and less than its entropy; it is in the plots."""
        noise = np.random.default_rng(8).standard_normal((400, 512))
        noise[200:] *= 8
        shown = self.show("halves", {"w": Tensor.of("BF16", noise), "one": Tensor.of("BF16", noise[:200])})
        tensor = next(t for t in shown["tensors"] if t["name"] == "w")
        self.assertGreater(tensor["tables"], 1)
        self.assertLess(tensor["bits_per_weight"], tensor["entropy_bits"])
        self.assertTrue(browser.run("byId('plots-below').checkVisibility()"))
        self.assertEqual(browser.run("document.querySelectorAll('#plot-above .dot').length"), 2)
        self.assertTrue(self.column(8)[self.column(1).index("w")].startswith("-"))
        browser.run("openDetail(TENSORS.find(t => t.name === 'w'))")
        facts = dict(zip(self.texts("#detail dt"), self.texts("#detail dd"), strict=True))
        self.assertEqual(facts["Code tables"], str(tensor["tables"]))

    def test_sidecars_only(self):
        """An image without any tensor."""
        image = self.path("sidecars.efs")
        write(image, sidecar_image())
        self.assertEqual(fsck("--deep", image).returncode, 0, fsck("--deep", image).stderr)
        self.assertEqual(page(image, image + ".html").returncode, 0)
        self.open(image + ".html")
        self.assertIn("0 weights in 0 tensors", self.text("#about"))
        self.assertIn("no tensors", self.text("#layers"))
        self.assertEqual(self.texts("#files tbody th"), ["config.json"])
        self.assertEqual(self.column(1), [])

    def test_damage(self):
        """The damage is the first thing to be seen, and its tensor can be found."""
        data = bytearray(read(self.image))
        data[4200] ^= 1
        write(self.path("damaged.efs"), data)
        self.assertEqual(page(self.path("damaged.efs"), self.path("damaged.html")).returncode, 1)
        self.open(self.path("damaged.html"))
        self.assertTrue(browser.run("byId('damage').checkVisibility()"))
        self.assertIn("damaged", self.text("#damage h2"))
        self.assertIn("block 0", self.text("#damage li"))
        self.set("#filter-as", "damaged")
        self.assertEqual(len(self.column(1)), 1)
        self.click("#tensors tbody button")
        self.assertIn("could not be counted", self.text("#detail"))
        self.assertNotIn("every checksum", self.text("#foot"))

    def test_without_histograms(self):
        self.assertEqual(page(self.image, self.path("quick.html"), "--no-histograms").returncode, 0)
        self.open(self.path("quick.html"))
        self.assertIn("Codes were not counted", self.text("#tensors-note"))
        self.click("#tensors tbody button")
        self.assertIn("were not counted", self.text("#detail"))


class Many(InBrowser):
    """A model of 3,000 tensors, and one of more than a page lists."""

    def write(self, name, tensors, *options):
        os.mkdir(self.path(name))
        modellib.write_safetensors(self.path(name, "model.safetensors"), tensors)
        pack(self.path(name), self.path(name + ".efs"), "--no-verify", *options)
        self.assertEqual(page(self.path(name + ".efs"), self.path(name + ".html")).returncode, 0)
        self.assertLess(os.path.getsize(self.path(name + ".html")), 2_000_000)
        return self.path(name + ".html")

    def test_many(self):
        """The page stays small, says what is summed up, and shows all rows only when asked to."""
        noise = np.random.default_rng(9).standard_normal((COUNT, 16, 32))
        target = self.write("many", {f"model.layers.{i // 20}.mlp.experts.{i % 20}.down_proj.weight":
                                     Tensor.of("BF16", noise[i]) for i in range(COUNT)}, "--bits-for=experts.1[.]=4")
        found = data_of(target)
        width = found["histograms"]["width"]
        self.assertEqual(len(found["tensors"]["rows"]), COUNT)
        for tensor, counts in zip(rows(found["tensors"]), found["histograms"]["rows"], strict=True):
            self.assertEqual(sum(counts), 512)
            self.assertEqual(len(counts), 16 if tensor["as"] == "uint4" else 256 // width)
        self.assertGreater(width, 1)
        self.open(target)
        self.assertIn(f"adds up {width} codes", self.text("#tensors-note"))
        self.assertEqual(len(self.column(1)), 100)
        self.assertGreaterEqual(browser.run("document.querySelectorAll('#map .tile-rect').length"), COUNT)
        self.click("#more-some")
        self.assertEqual(len(self.column(1)), 500)
        self.click("#more-all")
        self.assertEqual(len(self.column(1)), COUNT)
        self.assertFalse(browser.run("byId('more').checkVisibility()"))
        self.set("#filter", "layers.149. experts.7.")
        self.assertEqual(self.column(1), ["model.layers.149.mlp.experts.7.down_proj.weight"])

    def test_more_than_are_listed(self):
        """The largest have rows, the rest is in the sums of their layers; the layers are limited likewise."""
        tensors = {f"layers.{i % 300}.{i // 300}{'x' * 220}": Tensor("U8", [1 + i % 7], bytes(range(1 + i % 7)))
                   for i in range(COUNT)}
        target = self.write("more", tensors)
        found = data_of(target)
        listed, layers = rows(found["tensors"]), rows(found["layers"])
        self.assertLess(len(listed), 4001)
        self.assertGreater(len(listed), 1000)
        self.assertEqual(len(layers), 256)
        self.assertEqual((layers[-1]["name"], layers[-1]["merged"]), (None, 300 - 255))
        self.assertEqual(sum(layer["tensors"] for layer in layers), COUNT)
        self.assertEqual(sum(layer["weights"] for layer in layers), sum(len(t.raw) for t in tensors.values()))
        stored = sorted((t["stored_bytes"] for t in json.loads(dump("--json", self.path("more.efs")).stdout)["tensors"]),
                        reverse=True)
        self.assertEqual([t["payload"] + t["index"] + t["padding"] for t in listed], stored[:len(listed)])
        self.open(target)
        self.assertIn(f"Only the {len(listed):,} tensors that take the most bytes are listed; the other "
                      f"{COUNT - len(listed):,}", self.text("#tensors-note"))
        self.assertIn("45 other layers", self.text("#layers"))
        total = browser.run("mapGroups().reduce((sum, group) => sum + group.size, 0)")
        self.assertEqual(total, os.path.getsize(self.path("more.efs")))


if __name__ == "__main__":
    unittest.main()
