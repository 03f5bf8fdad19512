# SPDX-License-Identifier: MIT
"""What is read: synthetic models packed into images, and the same bytes for the file systems compared.

Everything is made once and kept below one folder; a folder of data gets its name when it is whole.
"""
import json
import os
import shutil
import struct
import subprocess
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CODES = "quantized/model.safetensors"
WEIGHTS = "model.safetensors"


class Kind(NamedTuple):
    view: str      # the file that is read, in a mount of entrofs
    layers: int    # of Phi-3-mini: about 1.1 GB of that file
    setting: str   # of mkmodel
    options: list  # of mkentrofs


KINDS = {"u8": Kind(CODES, 8, "paper-u8", ["--bits=8"]), "u4": Kind(CODES, 17, "paper-u4", ["--bits=4"]),
         "bf16": Kind(WEIGHTS, 4, "paper-u8", ["--bits=8"]), "lossless": Kind(WEIGHTS, 4, "", ["--lossless"])}
USUAL = ("u8", "u4")
QUICK_MODEL = "SmolLM-135M"
MODEL = "Phi-3-mini"
SQUASHFS_BLOCKS = {"128k": "131072", "1m": "1048576"}
# Decoding is as fast at any level, and weights have no repetitions that a higher one would find.
SQUASHFS_LEVEL = "6"
EROFS_CLUSTER = "65536"


class Failed(Exception):
    """One line that says what could not be done."""


def must(*command, **options):
    """Runs a command to its end; its output is shown only if it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False, **options)
    if done.returncode:
        raise Failed(f"'{' '.join(command)}' failed: {done.stdout.strip()[-500:]}")
    return done.stdout


class Data:
    """One data set. Paths: image, plain (a copy of the view), squashfs images, erofs image."""

    def __init__(self, name, folder):
        self.name, self.folder, self.kind = name, folder, KINDS[name]
        self.image = os.path.join(folder, "model.efs")
        self.plain = os.path.join(folder, "files", "data")
        self.erofs = os.path.join(folder, "data.erofs")
        self.squashfs = {block: os.path.join(folder, f"data.{block}.squashfs") for block in SQUASHFS_BLOCKS}

    @property
    def size(self):
        return os.path.getsize(self.plain)

    @property
    def stored_fraction(self):
        """Bytes of the image per byte served, about: the image also has tensors in files of their own, at no cost."""
        return os.path.getsize(self.image) / self.size


def copy(source, begin, end, target):
    source.seek(begin)
    while begin < end:
        chunk = source.read(min(end - begin, 16 << 20))
        target.write(chunk)
        begin += len(chunk)


def repeat_layer(path, layers):
    """Gives a safetensors file of one layer so many of them, with the same weights: drawing those of 7B takes long."""
    with open(path, "rb") as source:
        size, = struct.unpack("<Q", source.read(8))
        tensors = json.loads(source.read(size))
        tensors.pop("__metadata__", None)
        header, ranges, end = {}, [], 0
        for name, tensor in tensors.items():
            begin, stop = tensor["data_offsets"]
            for layer in range(layers if ".layers.0." in name else 1):
                header[name.replace(".layers.0.", f".layers.{layer}.")] = \
                    dict(tensor, data_offsets=[end, end + stop - begin])
                ranges.append((8 + size + begin, 8 + size + stop))
                end += stop - begin
        text = json.dumps(header).encode()
        with open(f"{path}.part", "wb") as target:
            target.write(struct.pack("<Q", len(text)) + text)
            for begin, stop in ranges:
                copy(source, begin, stop, target)
    os.rename(f"{path}.part", path)


def pack(folder, build, kind, model, layers, copies=1):
    """folder/model.efs; the model that it is made of is removed again. copies: of each layer, of one file of layers."""
    source = os.path.join(folder, "source")
    setting = [f"--setting={kind.setting}"] if kind.setting else []
    must(os.path.join(ROOT, "benchmarks/mkmodel"), *setting, f"--layers={layers}", model, source)
    if copies > 1:
        repeat_layer(os.path.join(source, "model.safetensors"), copies)
    must(os.path.join(build, "mkentrofs"), *kind.options, source, os.path.join(folder, "model.efs"))
    shutil.rmtree(source)


def compress(data):
    """Images of the folder that has nothing but the plain file, for those file systems whose tools are here."""
    files = os.path.dirname(data.plain)
    if shutil.which("mksquashfs"):
        for block, size in SQUASHFS_BLOCKS.items():
            must("mksquashfs", files, data.squashfs[block], "-comp", "zstd", "-Xcompression-level", SQUASHFS_LEVEL,
                 "-b", size, "-noappend", "-no-progress", "-quiet")
    if shutil.which("mkfs.erofs"):
        must("mkfs.erofs", "-zlz4hc", f"-C{EROFS_CLUSTER}", data.erofs, files)


def fill(data, build, quick):
    view = data.kind.view
    pack(data.folder, build, data.kind, QUICK_MODEL if quick else MODEL, 1 if quick else data.kind.layers)
    extracted = os.path.join(data.folder, "extracted")
    must(os.path.join(build, "fsck.entrofs"), "--quiet", f"--extract={extracted}", f"--path={view}", data.image)
    os.mkdir(os.path.dirname(data.plain))
    os.rename(os.path.join(extracted, view), data.plain)
    shutil.rmtree(extracted)
    os.chmod(data.plain, 0o444)
    compress(data)


def make(folder, work):
    """Calls work with a folder that gets its final name when it is done, unless that exists."""
    if os.path.isdir(folder):
        return
    part = f"{folder}.{os.getpid()}.part"
    os.makedirs(part)
    try:
        work(part)
        os.sync()  # nothing of it is to be written back while something is timed
        os.rename(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def prepare(work, name, build, quick, say):
    folder = os.path.join(work, f"{name}-{'quick' if quick else 'full'}")
    if not os.path.isdir(folder):
        say(f"making the data set {name} in {folder}")
    make(folder, lambda part: fill(Data(name, part), build, quick))
    return Data(name, folder)


def prepare_7b(work, build, quick, say):
    """An image with the names and shapes of Mistral-7B, for mounting; the weights of all layers are those of one."""
    folder = os.path.join(work, "7b-quick" if quick else "7b-full")
    if not os.path.isdir(folder):
        say(f"making an image of 7B shapes in {folder}")
    if quick:
        make(folder, lambda part: pack(part, build, KINDS["u8"], QUICK_MODEL, 1, 2))
    else:
        make(folder, lambda part: pack(part, build, KINDS["u8"], "Mistral-7B", 1, 32))
    return os.path.join(folder, "model.efs")
