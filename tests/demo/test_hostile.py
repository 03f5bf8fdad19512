# SPDX-License-Identifier: MIT
"""entrofs-run against folders that are no models: tokenizers, configurations, manifests and files.

Each input must end in exit status 1, nothing on the standard output, and one line that begins with
"entrofs-run: cannot", names the file with its folder, and says what is wrong. Or, where something odd is
harmless, in the text that the sound folder gives.
"""
import collections
import json
import os
import random
import shutil
import sys
import tempfile
import unittest

from folders import NOVELLA, STORIES, Folders, run, shorten_tokenizer

DEEP = "[" * 3000 + "]" * 3000
WRONG = (5, 1.5, True, "x", [], [5], {}, {"type": 5}, {"type": "Nonsense"})  # where an object or list belongs

tried, refused = collections.Counter(), collections.Counter()
searched = set()  # messages


def environment(message):
    """Under AddressSanitizer each refusal is searched for leaks once: that takes as long as all the rest."""
    again = message in searched
    searched.add(message)
    options = os.environ.get("ASAN_OPTIONS", "") + (":detect_leaks=0" if again else "")
    return dict(os.environ, ASAN_OPTIONS=options)


def tearDownModule():
    for what in sorted(tried):
        print(f"\ninputs: {what}: {tried[what]} tried, {refused[what]} refused, "
              f"{tried[what] - refused[what]} right")


def member(*keys):
    """A change that sets the last of these keys to value."""
    def change(value):
        def apply(json_value):
            for key in keys[:-1]:
                json_value = json_value[key]
            json_value[keys[-1]] = value
        return apply
    return change


class Hostile(Folders):
    """What the suites below share."""

    def refuses(self, what, folder, file, message, *arguments):
        """file: relative to the folder, None for the folder itself."""
        done = run(folder, "-pIt was", "-n2", *arguments, env=environment(message))
        error = done.stderr.decode()
        tried[what] += 1
        refused[what] += done.returncode == 1
        self.assertEqual((done.returncode, done.stdout), (1, b""), (message, error))
        self.assertRegex(error, r"\Aentrofs-run: cannot [^\n]*\n\Z")
        self.assertIn("'" + (os.path.join(folder, file) if file else folder) + "'", error)
        self.assertRegex(error, message)

    def accepts(self, what, folder, text=None):
        done = run(folder, "-pIt was", "-n2")
        tried[what] += 1
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(done.stdout, text or b"It was the first\n")

    def plain(self):
        """The good folder with a tokenizer of its first merges: what is refused need not have parsed the others."""
        if "plain" not in self.made:
            self.made["plain"] = self.change("tokenizer.json", shorten_tokenizer)
        return self.made["plain"]

    def changed(self, what, name, change, message, source=None):
        self.refuses(what, self.change(name, change, source or self.plain()), name, message)


class Tokenizers(Hostile):
    WHAT, FILE = "tokenizers", "tokenizer.json"

    def check(self, change, message, source=None):
        self.changed(self.WHAT, self.FILE, change, message, source)

    def each(self, cases, source=None):
        for change, message in cases:
            with self.subTest(message):
                self.check(change, message, source)

    def raw(self, text, message):
        path = self.light_copy()
        self.replace(path, self.FILE, text)
        self.refuses(self.WHAT, path, self.FILE, message)

    def test_ids(self):
        """Of tokens, of added tokens, and of what the post-processor adds."""
        template = {"type": "TemplateProcessing", "special_tokens": {"x": {"id": "x", "ids": [0]}},
                    "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}]}
        for bad in (4096, -1, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 53, 2 ** 63 - 1, -2 ** 63, 0.0, 1.5, 1e9, 1e308, "1",
                    None, True, [], {}, [1]):
            self.check(lambda t: t["model"]["vocab"].update(was=bad), "the id of 'was' is not a whole number below")
            self.check(lambda t: t["added_tokens"].append({"id": bad, "content": "xyz"}),
                       "the id of 'xyz' is not a whole number below")
            template["special_tokens"]["x"]["ids"] = [bad]
            self.check(lambda t: t.update(post_processor=template), "an id that is not a whole number below")
        for bad in ("9223372036854775808", "-9223372036854775809", "1" * 400):
            self.raw(b'{"model": {"vocab": {"a": %s}}}' % bad.encode(), "too (big|negative)( negative)? integer")
        self.raw(b'{"a": 1e999}', "real number overflow")

    def test_twice(self):
        self.each(((lambda t: t["model"]["vocab"].update(was2=5), "is given twice"),
                   (lambda t: t["added_tokens"].append({"id": 9, "content": "<|endoftext|>"}), "is given twice"),
                   (lambda t: t["added_tokens"].append({"id": 0, "content": "<|endoftext|>"}), "is given twice"),
                   (lambda t: t["added_tokens"].append({"id": 5, "content": "xyz"}), "is given twice"),
                   (lambda t: t["model"]["merges"].append(t["model"]["merges"][7]), "merge 300 is given twice"),))
        self.raw(b'{"model": {"vocab": {"a": 1, "a": 2}}}', "duplicate object key")

    def test_text_that_is_no_text(self):
        for text in (b'{"a\xff": 1}', b'{"a": "\xc3("}', b'{"a": "\xed\xa0\x80"}', b'{"a": "\xf5\x80\x80\x80"}',
                     b'{"a": "\xc0\x80"}', b'{"\xe2\x82": 1}', b'\xef\xbb\xbf{}', b'\xff\xfe{\0}\0',
                     '{"a": 1}'.encode("utf-16"), b'{"a": "\\ud800"}', b'{"a": "\\udc00\\ud800"}', b'{"a": "\\u0000"}',
                     b'{"\\u0000": 1}', b'{"a": "\0"}', b'{"a": 1}\0', b'{"a": "\n"}', b'{"a": "\x1b"}'):
            self.raw(text, "cannot read .*: line ")

    def test_no_json(self):
        for text in (b"", b" ", b"{", b"}", b"[", b"nul", b"{]", b'{"a"}', b'{"a":}', b"{'a': 1}", b'{"a": 1,}', b'{"a": 01}',
                     b'{"a": .5}', b'{"a": +1}', b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 0x10}', b'{} {}', b'{"a": 1}x',
                     b'{"a": tru}', b'{"a": "', b'{"a": "\\x"}', b'{"a": "\\u12"}', b"// {}", b"\0" * 100,
                     random.Random(1).randbytes(4096)):
            self.raw(text, "cannot read .*: line ")
        for text in (b"[]", b'["model"]'):
            self.raw(text, "not a JSON object")
        for text in (b'"x"', b"5", b"null", b"true"):
            self.raw(text, "cannot read ")

    def test_nesting(self):
        for text in (DEEP, '{"a": ' * 3000 + "1" + "}" * 3000, '{"model": ' + DEEP + "}", '{"x":[' * 3000):
            self.raw(text.encode(), "nesting|depth")
        deep = {"type": "ByteLevel"}
        for _ in range(400):
            deep = {"type": "Sequence", "pretokenizers": [deep], "processors": [deep], "decoders": [deep], "normalizers": [deep]}
        shallow = {"type": "Sequence", "pretokenizers": [], "processors": [], "decoders": [], "normalizers": []}
        for bad in (shallow, dict(shallow, pretokenizers=[shallow, shallow], processors=[shallow], decoders=[shallow])):
            for key, what in (("pre_tokenizer", "pre-tokenizer Sequence"), ("decoder", "decoder Sequence"),
                              ("normalizer", "normalizer Sequence")):
                self.check(member(key)(bad), f"its {what} is not supported")
        self.check(member("post_processor")({"type": "Sequence", "processors": [shallow]}), "post-processor Sequence")
        self.check(lambda t: t.update(pre_tokenizer={"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True}, {"type": "Sequence", "pretokenizers": []}]}), "pre-tokenizer Sequence")

    def test_memory(self):
        """Small files that a parser would blow up to gigabytes."""
        self.raw(b'{"a": [' + b"[]," * 4_000_000 + b"[]]}", "it would take more than 512 MiB of memory")
        path = self.light_copy()
        os.remove(os.path.join(path, self.FILE))
        with open(os.path.join(path, self.FILE), "wb") as file:
            file.truncate(200 << 20)
        self.refuses(self.WHAT, path, self.FILE, "its 209715200 bytes are more than the 134217728 allowed")

    def test_missing_pieces(self):
        for key in ("model", "pre_tokenizer"):
            self.check(lambda t: t.pop(key), "is not supported")
        for key in ("type", "vocab"):
            self.check(lambda t: t["model"].pop(key), "its model( BPE)? is not supported")
        self.check(lambda t: t["model"].pop("merges"), "its merges are not a list")
        for key in ("normalizer", "post_processor", "decoder", "added_tokens", "truncation", "padding", "version"):
            self.accepts(self.WHAT, self.change(self.FILE, lambda t: t.pop(key)))

    def test_wrong_types(self):
        for bad in WRONG:
            for key, what in (("model", "model"), ("pre_tokenizer", "pre-tokenizer"), ("decoder", "decoder"),
                              ("post_processor", "post-processor"), ("normalizer", "normalizer"),
                              ("truncation", "truncation"), ("padding", "padding")):
                self.check(member(key)(bad), f"its {what}[^']* is not supported")
        for bad in (5, 1.5, True, "x", {}, {"a": 1}):
            self.check(member("added_tokens")(bad), "its added_tokens are not a list")
            self.check(member("model", "merges")(bad), "its merges are not a list")
            self.check(member("model", "dropout")(bad), "its dropout is not supported")
        for bad in (5, 1.5, True, "x", [], None):
            self.check(member("model", "vocab")(bad), "its model BPE is not supported")
            self.check(lambda t: t.update(added_tokens=[bad]), "added token 0 has no content")
        for bad in (5, 1.5, "x", [], {}):
            for key in ("fuse_unk", "byte_fallback", "ignore_merges"):
                self.check(member("model", key)(bad), f"its {key} is neither true nor false")
            for key in ("add_prefix_space", "use_regex"):
                self.check(member("pre_tokenizer", key)(bad), f"its {key} is neither true nor false")
            for key in ("special", "normalized"):
                self.check(member("added_tokens", 0, key)(bad), "an option of '<|endoftext|>' is neither")
            for key in ("lstrip", "rstrip", "single_word"):
                self.check(member("added_tokens", 0, key)(bad), "the options of '<|endoftext|>' are not supported")

    def test_merges(self):
        self.each(((member("model", "merges")([bad]), message) for bad, message in (
            ("ab", "merge 0 is not a pair"), ("", "merge 0 is not a pair"), (5, "merge 0 is not a pair"),
            (None, "merge 0 is not a pair"), ([], "merge 0 is not a pair"), (["a"], "merge 0 is not a pair"),
            (["a", "b", "c"], "merge 0 is not a pair"), (["a", 5], "merge 0 is not a pair"), ({}, "merge 0 is not a pair"),
            (["h", ["e"]], "merge 0 is not a pair"), ("h nonsense", "tokens that do not exist"),
            ("nonsense e", "tokens that do not exist"), ("q q", "tokens that do not exist"), (" e", "tokens that do not exist"),
            ("h ", "tokens that do not exist"), ("h e e", "tokens that do not exist"), (["h", "nonsense"], "tokens that do not exist"),
            (["", ""], "tokens that do not exist"))))

    def test_other_kinds(self):
        self.each([(member("model", "type")(kind), f"model {kind}") for kind in ("Unigram", "WordPiece", "WordLevel", "bpe")] +
                  [(member("pre_tokenizer")({"type": kind}), f"pre-tokenizer {kind}") for kind in
                   ("Whitespace", "Split", "BertPreTokenizer", "Punctuation", "UnicodeScripts", "Digits", "Metaspace")] +
                  [(member("post_processor")({"type": kind}), f"post-processor {kind}") for kind in
                   ("BertProcessing", "RobertaProcessing", "Nonsense")] +
                  [(member("decoder")({"type": kind}), f"decoder {kind}") for kind in
                   ("WordPiece", "BPEDecoder", "CTC", "Metaspace", "Fuse")] +
                  [(member("normalizer")({"type": kind}), f"normalizer {kind}") for kind in
                   ("NFC", "Lowercase", "Prepend", "Precompiled")] +
                  [(member("model", "end_of_word_suffix")("</w>"), "end_of_word_suffix"),
                   (member("model", "continuing_subword_prefix")("##"), "continuing_subword_prefix"),
                   (member("pre_tokenizer", "use_regex")(False), "pre-tokenizer ByteLevel"),
                   (member("model", "type")("evil\n\x1b[31m\u009bname"), r"model evil\?\?\[31m\?\?name"),
                   (member("pre_tokenizer")({"type": "x" * 5000}), "pre-tokenizer x{100} is not supported")])

    def test_post_processors(self):
        text, special = {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "x"}}
        known = {"x": {"id": "x", "ids": [0]}}
        template = {"type": "TemplateProcessing", "single": [special, text], "special_tokens": known}
        for single in (None, 5, "x", {}, [], [special]):
            self.check(member("post_processor")(dict(template, single=single)), "leaves the text out")
        for single in ([5], ["x"], [{}], [text, text], [special, {"Nonsense": 1}], [None, text]):
            self.check(member("post_processor")(dict(template, single=single)), "neither the text nor a special token")
        for specials in (None, 5, [], {}, {"y": known["x"]}, {"x": 5}, {"x": {}}, {"x": {"ids": []}}, {"x": {"ids": 0}}, {"x": {"ids": {}}}):
            self.check(member("post_processor")(dict(template, special_tokens=specials)), "a special token without ids")
        for named in (5, None, {}, {"id": 5}, {"id": ["x"]}):
            self.check(member("post_processor")(dict(template, single=[{"SpecialToken": named}, text])), "a special token without ids")
        for single in ([special] * 9 + [text], [text] + [special] * 9):
            self.check(member("post_processor")(dict(template, single=single)), "more than 8 tokens on one side")
        self.check(member("post_processor")({"type": "Sequence", "processors": [template, template]}), "second post-processor Template")
        for parts in (5, {}, "x", None):
            self.check(member("post_processor")({"type": "Sequence", "processors": parts}), "post-processor Sequence is not supported")
        for parts in ([5], [{}], [{"type": "Nonsense"}]):
            self.check(member("post_processor")({"type": "Sequence", "processors": parts}), "post-processor[^']* is not supported")

    def test_characters(self):
        """What only the style of SentencePiece has: decoders in steps, a normalizer, an unknown token."""
        source = self.folder(STORIES, 8)
        replace, fallback, fuse, strip = ({"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
                                          {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0})
        for steps in ([], [fallback, fuse], [fuse, replace], [replace, replace], [replace, strip], [replace, fuse, strip, strip],
                      [replace, fuse, fallback, strip], [5], [None], [replace, {}], [replace, {"type": "CTC"}],
                      [dict(replace, content="x")], [dict(replace, pattern=5)], [dict(replace, pattern={"Regex": "\u2581"})],
                      [replace, fuse, dict(strip, start=2)], [replace, fuse, dict(strip, stop="0")], [replace, fuse, dict(strip, stop=1)],
                      5, {}, "x", None):
            self.check(member("decoder")({"type": "Sequence", "decoders": steps}), "its decoder[^']* is not supported", source)
        prepend = {"type": "Prepend", "prepend": "\u2581"}
        spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
        for parts in ([], [prepend], [spaces, prepend], [prepend, spaces, spaces], [dict(prepend, prepend="_"), spaces],
                      [prepend, dict(spaces, content="_")], [prepend, dict(spaces, pattern={"String": "  "})], 5, {}, [5, 5], None):
            self.check(member("normalizer")({"type": "Sequence", "normalizers": parts}), "its normalizer Sequence is not supported", source)
        for unknown in (5, "nonsense", [], True, ""):
            self.check(member("model", "unk_token")(unknown), "its unk_token is not a text of its vocabulary", source)
        for pre in ({"type": "Metaspace"}, {"type": "Metaspace", "replacement": "_"}, {"type": "Metaspace", "replacement": 5},
                    {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "sometimes"},
                    {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": 5}):
            self.check(lambda t: t.update(normalizer=None, pre_tokenizer=pre), "its pre-tokenizer", source)


class Configurations(Hostile):
    WHAT, FILE = "configurations", "config.json"

    def check(self, key, value, message):
        self.changed(self.WHAT, self.FILE, lambda c: c.update({key: value}), message)

    def test_counts(self):
        for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"):
            for value in (None, 0, -1, 2 ** 31, 2 ** 40, 2 ** 63 - 1, -2 ** 63, 1.5, 288.0, 1e300, "288", True, [288], {}):
                self.check(key, value, f"{key} is not a whole number from 1 to")
            self.changed(self.WHAT, self.FILE, lambda c: c.pop(key), f"{key} is not a whole number from 1 to")
        for key in ("num_key_value_heads", "max_position_embeddings", "head_dim"):
            for value in (0, -1, 2 ** 31, 2 ** 63 - 1, 1.5, 3.0, "3", True, [3], {}):
                self.check(key, value, f"{key} is not a whole number from 1 to")
        path = self.light_copy()
        for value in ("9223372036854775808", "NaN", "-Infinity", "1e999"):
            self.replace(path, self.FILE, b'{"hidden_size": %s}' % value.encode())
            self.refuses(self.WHAT, path, self.FILE, "cannot read ")

    def test_heads(self):
        for heads in (5, 7, 287, 289, 4096):
            self.check("num_attention_heads", heads, f"{heads} attention heads cannot share a hidden_size of 288")
        for shared in (4, 5, 7, 12):
            self.check("num_key_value_heads", shared, f"6 heads cannot share {shared} key-value heads")
        for size in (1, 47, 4095):
            self.check("head_dim", size, f"heads of {size} numbers cannot be rotated")
        self.check("num_attention_heads", 288, "heads of 1 numbers cannot be rotated")

    def test_numbers(self):
        for key in ("rms_norm_eps", "rope_theta"):
            for value in (0, -1, 1e300, -1e300, "1e-5", True, [], {}):
                self.check(key, value, f"{key} is not a number from")
        for value in (-1, 4096, 2 ** 32, 2 ** 63 - 1, 0.0, 1.5, "0", True, {}):
            self.check("bos_token_id", value, "bos_token_id is not the number of a token")
            self.check("eos_token_id", value, "eos_token_id is not the number of a token")
            self.check("eos_token_id", [0, value], "eos_token_id is not the number of a token")
        self.check("eos_token_id", [0] * 9, "more than 8 eos_token_id")
        for key in ("tie_word_embeddings", "attention_bias", "mlp_bias"):
            for value in (0, 1, "true", [], {}):
                self.check(key, value, f"{key} is neither true nor false")

    def test_other_models(self):
        for key, value, message in (
                ("architectures", ["GPT2LMHeadModel"], "its architecture is GPT2LMHeadModel"),
                ("architectures", "LlamaForCausalLM", "architectures is not a list"), ("architectures", 5, "architectures is not a list"),
                ("architectures", {}, "architectures is not a list"), ("architectures", [5], "architectures is not a text"),
                ("architectures", [["LlamaForCausalLM"]], "architectures is not a text"), ("model_type", 5, "model_type is not a text"),
                ("hidden_act", "gelu", "its activation is gelu"), ("hidden_act", 5, "hidden_act is not a text"),
                ("attention_bias", True, "biases"), ("mlp_bias", True, "biases"),
                ("rope_scaling", {"rope_type": "llama3", "factor": 8.0}, "its rope_scaling is llama3"),
                ("rope_scaling", {"type": "linear"}, "its rope_scaling is linear"), ("rope_scaling", {}, "of unknown type"),
                ("rope_scaling", 5, "of unknown type"), ("rope_parameters", "x", "of unknown type"),
                ("rope_parameters", {"rope_type": 5}, "of unknown type"),
                ("rope_parameters", {"rope_type": "default", "rope_theta": "x"}, "rope_theta is not a number"),
                ("architectures", ["evil\n\x1b[31mname"], r"evil\?\?\[31mname"), ("hidden_act", "x" * 5000, "activation is x{100},")):
            self.check(key, value, message)
        self.changed(self.WHAT, self.FILE, lambda c: (c.pop("architectures"), c.pop("model_type")), "its architecture is not given")
        for key in ("architectures", "model_type", "hidden_act", "rms_norm_eps", "rope_theta", "bos_token_id", "eos_token_id"):
            if key != "rms_norm_eps":  # whose default is another one than this model's
                self.accepts(self.WHAT, self.change(self.FILE, lambda c: c.pop(key)))
        self.accepts(self.WHAT, self.change(self.FILE, lambda c: c.update(architectures=[])))

    def test_disagrees_with_tensors(self):
        for key, value in (("hidden_size", 300), ("intermediate_size", 769), ("num_hidden_layers", 7), ("num_key_value_heads", 6),
                           ("head_dim", 50), ("tie_word_embeddings", False), ("vocab_size", 4097), ("num_hidden_layers", 4096)):
            folder = self.change(self.FILE, lambda c: c.update({key: value}))
            self.refuses(self.WHAT, folder, "quantized/manifest.json", "its shape is not what config.json says|is missing")

    def test_no_file(self):
        for name in (self.FILE, "tokenizer.json", "quantized/manifest.json"):
            path = self.light_copy()
            os.remove(os.path.join(path, name))
            if name.startswith("quantized"):
                self.refuses(self.WHAT, path, None, r"quantized/manifest.json: No such file or directory \(is an image")
            else:
                self.refuses(self.WHAT, path, name, "cannot open .*: No such file")
            for make in (os.mkdir, os.mkfifo, lambda file: os.symlink("nowhere", file)):
                path = self.light_copy()
                os.remove(os.path.join(path, name))
                make(os.path.join(path, name))
                dangling = name.startswith("quantized") and not os.path.exists(os.path.join(path, name))
                self.refuses(self.WHAT, path, None if dangling else name, "not a regular file|No such file")
        for path in ("/nonexistent", "/dev/null", tempfile.mkdtemp(dir=self.scratch.name)):
            self.refuses(self.WHAT, path, None, "No such file or directory|Not a directory")

    def test_trailing_slash(self):
        path = self.change(self.FILE, lambda c: c.update(hidden_size=0))
        done = run(path + "///")
        self.assertIn(f"'{path}/config.json'", done.stderr.decode())


class Manifests(Hostile):
    WHAT, FILE = "manifests", "quantized/manifest.json"
    NAME = "model.embed_tokens.weight"
    INSIDE = f"tensors/{NAME}.u8"

    def check(self, change, message):
        self.changed(self.WHAT, self.FILE, change, message)

    def tensor(self, message, **values):
        def change(manifest):
            next(entry for entry in manifest["tensors"] if entry["name"] == self.NAME).update(values)
        self.check(change, f"tensor '{self.NAME}': {message}")

    def test_structure(self):
        self.check(lambda m: m.pop("tensors"), "it lists no tensors")
        for value in ({}, None, 5, "x"):
            self.check(lambda m: m.update(tensors=value), "it lists no tensors")
        for value in (2, 0, -1, "1", 1.0, None, [1], 2 ** 32 + 1):
            self.check(lambda m: m.update(format=value), "its format is not 1")
        for value in (3, "x", None, [], {}, {"name": 5}, {"name": None}):
            self.check(lambda m: m["tensors"].append(value), "tensor 56 has no name")
        self.check(lambda m: m["tensors"].append(m["tensors"][0]), "is listed twice")
        self.check(lambda m: m["tensors"].clear(), "tensor 'model.embed_tokens.weight' is missing")
        for number in range(56):
            self.check(lambda m: m["tensors"].pop(number), "tensor '[a-z0-9_.]+' is missing")

    def test_no_json(self):
        for text in (b"", b"{", b"[]", b"\xff\xfe", b'{"a": 1, "a": 2}', b"[" * 100000, random.Random(2).randbytes(4096)):
            path = self.light_copy()
            self.replace(path, self.FILE, text)
            self.refuses(self.WHAT, path, self.FILE, "cannot read ")
        path = self.light_copy()
        self.replace(path, self.FILE, b'{"tensors": [' + b"[]," * 2_000_000 + b"[]]}")
        self.refuses(self.WHAT, path, self.FILE, "it would take more than 256 MiB of memory")

    def test_shapes(self):
        for shape in ([4096, 289], [288, 4096], [4096], [4096, 288, 1], [], [-1, 288], ["4096", 288], None, 5, "x", {}, [4096.0, 288],
                      [2 ** 63 - 1, 2], [0, 0], [4096, None], [[4096], [288]], [2 ** 32 + 4096, 288]):
            self.tensor("its shape is not what config.json says", shape=shape)

    def test_encodings(self):
        for bits in (3, 16, 0, -8, 2 ** 40, 2 ** 32 + 8):
            self.tensor("its bits are neither 8 nor 4", bits=bits)
        for bits in ("8", 8.0, True, [], {}):
            self.tensor("its bits and dtype are not known", bits=bits)
        for dtype in ("F8_E4M3", "U8", "I64", "bf16", "", 5, None, []):
            self.tensor("its bits and dtype are not known", bits=None, dtype=dtype)
        for scale in (None, "1", [1.0], 1e300, -1e300, True, {}):
            self.tensor("its scale is not one finite number", scale=scale)
        for zero in (None, 1.5, 121.0, [1], 2 ** 31, -2 ** 31 - 1, 2 ** 63 - 1, "121", True):
            self.tensor("its zero_point is not one whole number", zero_point=zero)

    def test_sizes(self):
        """Of files, and of what the manifest makes of them."""
        right = 4096 * 288
        for size in (0, 1, 100, right - 1, right + 1, 2 * right, 1 << 40):
            path = self.copy()
            self.replace(path, os.path.join("quantized", self.INSIDE), b"")
            os.truncate(os.path.join(path, "quantized", self.INSIDE), size)
            self.refuses(self.WHAT, path, os.path.join("quantized", self.INSIDE), f"it has {size} bytes, its shape asks for {right}")
        for values, size in (({"bits": None, "dtype": "F32"}, 4 * right), ({"bits": None, "dtype": "F64"}, 8 * right), ({"bits": 4}, right // 2)):
            folder = self.change(self.FILE, lambda m: next(e for e in m["tensors"] if e["name"] == self.NAME).update(values))
            self.refuses(self.WHAT, folder, os.path.join("quantized", self.INSIDE), f"its shape asks for {size}")

    def test_paths(self):
        for file in (f"../quantized/{self.INSIDE}", f"tensors/../{self.INSIDE}", "..", "tensors/..", "tensors/../..", "/dev/zero", "/",
                     "", None, 7, [], f"tensors/./../{self.INSIDE}", "../../../../etc/passwd", f"//{self.INSIDE}"):
            self.tensor("its file is not inside the folder", file=file)
        for file in ("tensors/nothing", "x" * 300, "tensors", "tensors/", ".", "a" * 5000, "tensors/x\x1b[2J\n"):
            folder = self.change(self.FILE, lambda m: next(e for e in m["tensors"] if e["name"] == self.NAME).update(file=file))
            done = run(folder, "-pIt was")
            tried[self.WHAT] += 1
            refused[self.WHAT] += done.returncode == 1
            self.assertEqual((done.returncode, done.stdout), (1, b""))
            self.assertRegex(done.stderr.decode(), rf"\Aentrofs-run: cannot open '{folder}/quantized/[ -~]+': [A-Za-z ]+\n\Z")

    def test_files(self):
        name = os.path.join("quantized", self.INSIDE)
        for make in (lambda file: None, os.mkdir, os.mkfifo, lambda file: os.symlink("nowhere", file),
                     lambda file: os.symlink("../../elsewhere", file), lambda file: os.symlink("/dev/zero", file)):
            path = self.copy()
            os.rename(os.path.join(path, name), os.path.join(path, "elsewhere"))
            make(os.path.join(path, name))
            self.refuses(self.WHAT, path, name, "cannot open .*: (No such file|not a regular file|Too many levels)")
        path = self.copy()
        shutil.rmtree(os.path.join(path, "quantized"))
        self.refuses(self.WHAT, path, None, "is an image mounted there")
        shutil.copy(os.path.join(NOVELLA, "config.json"), os.path.join(path, "quantized"))
        self.refuses(self.WHAT, path, None, "Not a directory")

    def test_values_that_are_no_numbers(self):
        """Weights of which no text can be made: an error instead of one."""
        folder = self.folder(NOVELLA, 8, keep=lambda name: True)
        for bad in (b"\xc0\x7f", b"\x80\x7f", b"\x80\xff"):  # not a number, infinities
            path = self.copy(folder)
            self.replace(path, "quantized/tensors/model.norm.weight.bf16", bad * 288)
            for arguments in ([], ["--temp=1"], ["--temp=1", "--top-k=5"], ["--perplexity", os.path.join(folder, "config.json")]):
                done = run(path, *arguments)
                tried[self.WHAT] += 1
                refused[self.WHAT] += done.returncode == 1
                self.assertEqual((done.returncode, done.stdout), (1, b""))
                self.assertEqual(done.stderr, b"entrofs-run: cannot go on: the model's logits are not finite\n")


if __name__ == "__main__":
    sys.exit(unittest.main())
