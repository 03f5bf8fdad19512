// SPDX-License-Identifier: MIT
//
// Writes the golden encodings that tests/demo/test_tokens.py holds entrofs-run to:
//
//     npm install @huggingface/tokenizers@0.2.0
//     node make.mjs MODELS_DIR          # has novella-7m/tokenizer.json and stories260k/tokenizer.json
//
// It is not run by any test. The encodings are those of an independent tokenizer, but for two things.
// Its input is a JavaScript string, which cannot hold bytes that are no text: those are put between
// what it makes of the words around them, by the rule that such a byte is a character by itself. And
// its pattern for words is JavaScript's, whose \s has U+FEFF, which is no white space in Unicode, and
// lacks U+0085, which is: neither is in the texts.
import { Tokenizer } from "@huggingface/tokenizers";
import fs from "node:fs";
import path from "node:path";

const long = Array.from({ length: 400 }, (_, i) => `${i}: the ship\u2019s bell rang ${i * i} times;`).join("\n");

const texts = [
  // plain words, case, punctuation
  "It was", " It was", "Once upon a time", "MiXeD CaSe WORDS", "a", " ", "A. B! C? D; E: F, G",
  "!?...--;;(){}[]<>|\\/@#$%^&*_+=~`", "________", "\"I do not know,\" she answered; \"why?\"", "-----BEGIN-----",
  "snake_case camelCase kebab-case dotted.name http://example.org/a?b=c&d=e#f", "\u00abquoi\u00bb \u2014 \u2018a\u2019 \u201cb\u201d \u2026",
  // contractions
  "I'll don't he's we've I'm they're she'd 'tis 'LL it's's", "'", "''", "''s", "x'", "'s", " 's", "'re've'll'd'm't",
  "O'Brien's dogs' 'quoted' can\u2019t I\u2019ll", "'S 'T 'Re",
  // spaces, tabs, lines
  "It  was", "  two  spaces   three   ", "   ", "          ten", "trailing ", "trailing  ", "\t", "\t\t", "\t\ttabs\t and", " \t mixed\t \t",
  "\n", "\n\n", "\n\n\nA\n \n B", "one\r\ntwo\r\n\r\nthree\r\n", "\r", "\r\r\n\n\r", "a\n b\n  c\n\td", "end\n", "end \n", "\v\f", "a\u00a0b",
  "\u00a0nbsp\u00a0\u2003em\u3000wide\u2028line\u2029paragraph\u202fnarrow\u205fmath", "zero\u200bwidth\u200cnon\u200djoiner\u2060word",
  " ".repeat(50) + "y", "\n".repeat(30), "\t".repeat(9) + " x",
  // digits
  "12 345 6,789.01 7th A4", "0", "1866, in the", "3.14159265358979", "2024-02-29T12:34:56Z", "x2y3", "1234567890".repeat(4),
  "\u0663\u0664 \u2167 \u00bd \u00b2 \u0967\u0968 \uff11\uff12 \u{1d7d8}", "\u2460 \u3007 \u4e00\u4e8c\u4e09",
  // Latin with marks, composed and not
  "na\u00efve caf\u00e9 \u00c6sop \u0153uvre \u00df \u1e9e", "a\u0301e\u0308o\u0302 n\u0303", "\u0301", " \u0301x", "Z\u0351\u036b\u0343a\u0308\u0321\u0322lgo",
  "\ufb01 \ufb02 \u01c4 \u0130 \u0131 I\u0307", "\u1e0b\u0323 \u1e0d\u0307",
  // other scripts
  "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440", "\u0391\u03b8\u03ae\u03bd\u03b1\u03c2 \u03ac\u03b9", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3002",
  "\u4f60\u597d\uff0c\u4e16\u754c\uff01", "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab", "\u{20000}\u{2a6d6} \u9fff", "\u0939\u093f\u0928\u094d\u0926\u0940 \u0995\u09cd\u09b7",
  "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22", "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd abc", "\u0627\u0644\u0633\u064e\u0651\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645",
  "\u202eright\u202c \u200fto\u200e left", "\u12a0\u121b\u122d\u129b \u13e3\u13b3\u13a9 \u1401\u1402", "\u16a0\u16a2\u16a6 \u{10330}\u{10331} \u{1f00}",
  // symbols, emoji
  "\u2200x\u2208\u211d: \u230ax\u230b \u2264 x \u221e \u222b\u2202", "\u20ac5 \u00a310 $3 \u00a57 \u20bf", "\u2669\u266a \u2605 \u2713 \u00ae\u00a9\u2122",
  "\u{1f600}", "\u{1f600}\u{1f601} ok", "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}\u200d\u{1f466} family", "\u{1f44d}\u{1f3fd} \u{1f1e9}\u{1f1ea} 1\ufe0f\u20e3 \u2764\ufe0f\u200d\u{1f525}",
  "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}", "text\u{1f600}text", "\u{10ffff}\u{e000}\ufffd\ufffe",
  // special tokens, and what only looks like one
  "<|endoftext|>", "a<|endoftext|> b<|endoftext|><|endof", " <|endoftext|> ", "<|endoftext|>\n\n<|endoftext|>It", "<|ENDOFTEXT|> <|endoftext>",
  "<s>", "</s><s> x", "a</s> b<unk>c", "<unk><unk>", " <s> <s", "<pad><0x41><0x0A>", "<0x41",
  // what tokenizers write for themselves
  "\u2581already\u2581there", "\u2581", " \u2581 ", "\u0120was\u010a", "\u0100\u0142\u0143", "\u00ad\u00a1",
  // long
  "x".repeat(200), "ab".repeat(500), "the ".repeat(300), "Supercalifragilisticexpialidocious".repeat(8), long,
];

// Words, as a byte-level tokenizer cuts them; a number is a byte that is no text.
const bytes = [
  [[0xff]], [["a"], [0xc3]], [[0xed, 0xa0, 0x80]], [[0xc0, 0x80]], [[0xf4, 0x90, 0x80, 0x80]], [[0x80], [" the"]],
  [["It"], [" was"], [0xe2, 0x82], [" the"], ["\n"]], [["caf"], [0xe9], [" noir"]], [[0xfe, 0xff, 0xf8, 0x88, 0x80, 0x80]],
  [["\u00e9"], [0xa9, 0xc3], [" of"]],
];

const model = (name) => {
  const json = JSON.parse(fs.readFileSync(path.join(process.argv[2], name, "tokenizer.json"), "utf8"));
  return { json, tokenizer: new Tokenizer(json, {}) };
};
const hex = (words) => Buffer.concat(words.flat().map((part) =>
  typeof part === "number" ? Buffer.from([part]) : Buffer.from(part, "utf8"))).toString("hex");
const ascii = (text) => text.replace(/[\u007f-\uffff]/g, (unit) => "\\u" + unit.charCodeAt(0).toString(16).padStart(4, "0"));
const save = (name, entries) => fs.writeFileSync(`${name}.json`,
  "[\n" + entries.map((entry) => ascii(JSON.stringify(entry))).join(",\n") + "\n]\n");

{
  const { json, tokenizer } = model("novella-7m");
  const own = [...Array(256).keys()].filter((b) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174);
  const letters = [];
  for (let b = 0, next = 256; b < 256; b++) letters[b] = String.fromCharCode(own.includes(b) ? b : next++);
  const spell = (word) => word.map((part) => typeof part === "number" ? letters[part]
    : [...Buffer.from(part, "utf8")].map((b) => letters[b]).join("")).join("");
  save("novella-7m", [
    ...texts.map((text) => ({ text, ids: tokenizer.encode(text).ids })),
    ...bytes.map((words) => ({ hex: hex(words), ids: tokenizer.model.encode(words.map(spell)).map((t) => json.model.vocab[t]) })),
  ]);
}
{
  const { json, tokenizer } = model("stories260k");
  // A byte's token, <0xNN>, merges with nothing, so the text on either side is encoded by itself.
  const encode = (words) => {
    const parts = [];
    for (const part of ["\u2581", ...words.flat()])
      if (typeof part === "string" && typeof parts.at(-1) === "string") parts.push(parts.pop() + part);
      else parts.push(part);
    return parts.flatMap((part) => typeof part === "number"
      ? [json.model.vocab[`<0x${part.toString(16).toUpperCase().padStart(2, "0")}>`]]
      : tokenizer.model.encode([part.replaceAll(" ", "\u2581")]).map((t) => json.model.vocab[t]));
  };
  save("stories260k", [
    ...texts.map((text) => ({ text, ids: tokenizer.encode(text).ids })),
    ...bytes.map((words) => ({ hex: hex(words), ids: [1, ...encode(words)] })),
  ]);
}
