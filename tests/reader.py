#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Reads an entrofs image: checks all of it and lists or extracts its files.

Written from docs/format.md alone, with nothing but Python's standard library and the zstd program: it shows that the
page is enough, and it is a second opinion on what the C code writes. Each part names the section of the page that it
follows. It is meant to be read; it decodes some MB/s and keeps what it has decoded in memory.
"""
import argparse
import hashlib
import math
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import namedtuple
from fractions import Fraction

SUPERBLOCK = 4096
CHUNK = 1 << 17  # raw bytes of a section's chunk
LEAF = 1 << 17  # bytes under one hash of the hash tree
HASH = 32
MAGIC = b"\x89EFS\r\n\x1a\n"
DTYPES = dict(enumerate("BOOL U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 U16 I16 F16 BF16 U32 I32 F32 U64 I64 F64 C64".split(), 1))
DTYPE_SIZES = dict(enumerate([1] * 6 + [2] * 4 + [4] * 3 + [8] * 4, 1))
FLOATS = {"F16": (5, 10), "BF16": (8, 7), "F32": (8, 23), "F64": (11, 52)}  # bits of the exponent, of the fraction
KEPT, SCHEMES = 0, ["kept", "unsigned", "asymmetric", "constant"]
DIRECTORY, FILE = 1, 2
OF_STREAM, OF_BLOB, OF_TRANSCODE = 1, 2, 3
DEQUANTIZE, JOIN, BLOCKS = 1, 2, 3
Q4_0, Q4_1, Q8_0 = 2, 3, 8
GGML_BLOCKS = {Q4_0: (4, 18, (8,)), Q4_1: (4, 20, range(16)), Q8_0: (8, 34, (128,))}  # bits, bytes, zero points
RAW, CODED, CONSTANT = 0, 1, 2

Section = namedtuple("Section", "offset stored_size raw_size")
Node = namedtuple("Node", "name parent first count type size path depth")
Piece = namedtuple("Piece", "kind source offset length")
Tensor = namedtuple("Tensor", "name shard source_order dtype bits scheme shape params stream node "
                              "entropy sqnr max_error digest raw_size")
Transcode = namedtuple("Transcode", "rule dtype count source raw_size sizes")
Block = namedtuple("Block", "offset stored_size raw_size checksum kind argument")
Stream = namedtuple("Stream", "offset stored_size raw_size block_size tables blocks")


class BadImage(Exception):
    pass


def require(condition, text):
    if not condition:
        raise BadImage(text)


def zero(data):
    return bytes(data).count(0) == len(data)


def round_up(number, multiple):
    return -(-number // multiple) * multiple


def hash_tree_size(covered):
    """Bytes of the levels above so many bytes, the root aside."""
    hashes = -(-covered // LEAF)
    return 0 if hashes == 1 else HASH * hashes + hash_tree_size(HASH * hashes)


# ---- Code tables and coded blocks ----

def parse_table(table):
    """The tree of a code table. A chunk is (bits, symbols), an inner node [left, right]; symbols is an argument for
    bytes.translate and turns numbers within the chunk into symbols."""
    symbols = {}
    for symbol, value in enumerate(table):
        if value != 0xff:
            require(value >> 4 <= 8, f"value {value:#x} in a code table")
            symbols.setdefault((value & 15, value >> 4), []).append(symbol)
    chunks = []
    for depth, bits in sorted(symbols, key=lambda key: (key[0], -key[1])):
        group = symbols[depth, bits]
        require(len(group) % (1 << bits) == 0, "symbols of a code table do not fill their chunks")
        for at in range(0, len(group), 1 << bits):
            chunks.append((depth, bits, bytes(group[at:at + (1 << bits)]).ljust(256, b"\0")))
    require(sum(1 << 15 - depth for depth, _, _ in chunks) == 1 << 15, "a code table does not fill its tree")
    chunks.reverse()

    def build(depth):
        if chunks[-1][0] == depth:
            return chunks.pop()[1:]
        left = build(depth + 1)
        return [left, build(depth + 1)]

    return build(0)


def decode_block(tree, stored, size):
    """The raw bytes, size of them, of a coded block."""
    count = 8 * len(stored)
    text = f"{int.from_bytes(stored, 'little'):0{count}b}"[::-1]
    bits = text.encode().translate(bytes.maketrans(b"01", b"\0\1"))  # one byte for each bit
    at = 0

    def take(number):
        nonlocal at
        require(at + number <= count, "the bits of a block end too early")
        at += number
        return bits[at - number:at]

    def decode(node, elements):
        if isinstance(node, tuple):
            width, symbols = node
            numbers = take(width * elements)
            # Each width-th byte, from i on, is bit i of a number. All numbers at once, as digits of a long integer.
            joined = sum(int.from_bytes(numbers[i::width], "little") << i for i in range(width))
            return joined.to_bytes(elements, "little").translate(symbols)
        sides = take(elements)
        ones = sides.count(1)
        children = iter(decode(node[0], elements - ones)), iter(decode(node[1], ones))
        return bytes(map(next, map(children.__getitem__, sides)))

    raw = decode(tree, size)
    require(count - at < 8, "bytes remain in a block")
    require(zero(bits[at:]), "a bit left over in a block is not zero")
    return raw


# ---- Tensors: the numbers that codes stand for ----

def number_of(scale, difference, dtype):
    """scale x difference as the bytes of a dtype, rounded once."""
    exponent_bits, fraction_bits = FLOATS[dtype]
    width = 1 + exponent_bits + fraction_bits
    sign = (math.copysign(1, scale) < 0) != (difference < 0)
    value = abs(Fraction(scale) * difference)
    least = 2 - (1 << exponent_bits - 1)  # exponent of the smallest normal number
    bits = 0
    if value:
        exponent = value.numerator.bit_length() - value.denominator.bit_length()
        exponent -= value < Fraction(2) ** exponent
        exponent = max(exponent, least)
        # The leading one of a normal number, and what rounding carries, add to the exponent's field.
        bits = (exponent - least << fraction_bits) + round(value / Fraction(2) ** (exponent - fraction_bits))
    infinity = (1 << exponent_bits) - 1 << fraction_bits
    return (min(bits, infinity) | sign << width - 1).to_bytes(width // 8, "little")


# ---- Sections ----

def frame_size(data):
    """Bytes of the zstd frame (RFC 8878, 3.1.1) that data begins with."""
    def byte(at):
        require(at < len(data), "a zstd frame is cut off")
        return data[at]

    require(bytes(data[:4]) == b"\x28\xb5\x2f\xfd", "a chunk is no zstd frame")
    descriptor = byte(4)
    is_single = descriptor >> 5 & 1
    require(is_single or byte(5) <= 7 << 3, "a zstd frame with a window of more than 128 KiB")
    at = 5 + (not is_single) + (0, 1, 2, 4)[descriptor & 3] + (is_single, 2, 4, 8)[descriptor >> 6]
    is_last = False
    while not is_last:
        header = byte(at) | byte(at + 1) << 8 | byte(at + 2) << 16
        is_last, kind, size = header & 1, header >> 1 & 3, header >> 3
        require(kind != 3, "a zstd block of an unknown kind")
        at += 3 + (1 if kind == 1 else size)
    at += 4 * (descriptor >> 2 & 1)
    require(at <= len(data), "a zstd frame is cut off")
    return at


def frame_of(stored, raw_size):
    """The frame of a stored chunk, without what fills it up."""
    frame, filler = stored[:frame_size(stored)], bytes(stored[frame_size(stored):])
    least = -(-raw_size // 64)
    if len(frame) >= least:
        require(not filler, "something follows a zstd frame")
    else:
        require(len(filler) == max(least - len(frame), 8), "what fills up a chunk is too short or too long")
        header = struct.pack("<2I", 0x184D2A50, len(filler) - 8)
        require(filler[:8] == header and zero(filler[8:]), "what fills up a chunk is no skippable frame of zeros")
    return frame


def decode_frames(frames, sizes):
    """The raw bytes of zstd frames that follow each other, cut into the given sizes."""
    if not sizes:
        return []
    with tempfile.TemporaryFile() as file:
        file.write(frames)
        file.seek(0)
        with subprocess.Popen(["zstd", "-dcq"], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as zstd:
            raw = zstd.stdout.read(sum(sizes) + 1)  # never more, whatever the frames claim
            zstd.stdout.close()
            message = zstd.stderr.read().decode(errors="replace").strip()
    require(len(raw) <= sum(sizes), "a zstd frame is longer than its chunk")
    require(zstd.returncode == 0 and len(raw) == sum(sizes), f"zstd frames cannot be decoded: {message}")
    pieces, at = [], 0
    for size in sizes:
        pieces.append(raw[at:at + size])
        at += size
    return pieces


def read_sections(image, sections):
    """The raw bytes of each of the sections; one call of zstd for all. Their place in the image has been checked."""
    chunks = []  # (stored bytes, raw size, checksum, number of section)
    for number, section in enumerate(sections):
        offset, stored_size, raw_size = section
        count = -(-raw_size // CHUNK)
        require(8 * count + -(-raw_size // 64) <= stored_size, f"{section} is too small for its raw size")
        records = offset + stored_size - 8 * count
        for i, (size, checksum) in enumerate(struct.iter_unpack("<2I", image[records:offset + stored_size])):
            chunk_raw = min(CHUNK, raw_size - i * CHUNK)
            require(-(-chunk_raw // 64) <= size <= chunk_raw, f"size of chunk {i} of {section}")
            require(size <= records - offset, f"chunks of {section} are longer than it")
            chunks.append((image[offset:offset + size], chunk_raw, checksum, number))
            offset += size
        require(offset == records, f"chunks of {section} do not fill it")
    coded = [chunk for chunk in chunks if len(chunk[0]) < chunk[1]]
    frames = b"".join(frame_of(stored, size) for stored, size, _, _ in coded)
    decoded = iter(decode_frames(frames, [chunk[1] for chunk in coded]))
    contents = [[] for _ in sections]
    for stored, size, checksum, number in chunks:
        raw = next(decoded) if len(stored) < size else stored
        require(zlib.crc32(raw) == checksum, f"checksum of a chunk of {sections[number]}")
        contents[number].append(raw)
    return [b"".join(parts) for parts in contents]


# ---- The image ----

class Image:
    """Everything but the blocks has been checked when the constructor returns; a block is checked when it is read."""

    def __init__(self, data):
        """data: bytes, or a memoryview of bytes, that begin with the superblock."""
        self.data = data
        self.decoded = {}  # raw bytes of streams by number
        self.read_superblock()
        self.check_hash_tree()
        self.check_extent(self.catalog, "the catalog")
        require(self.catalog.raw_size <= 1 << 30, "the catalog is too long")
        self.read_catalog(read_sections(self.data, [self.catalog])[0])

    # ---- Superblock ----

    def read_superblock(self):
        block = bytes(self.data[:SUPERBLOCK])
        require(block[:8] == MAGIC, "not an entrofs image")
        require(len(block) == SUPERBLOCK, "the superblock is cut off")
        version, size, compatible, incompatible, self.size, *catalog = struct.unpack_from("<2I6Q", block, 8)
        require(version == 1, f"version {version} is unknown")
        require(incompatible == 0, f"incompatible features {incompatible:#x} are unknown")
        require(zlib.crc32(block[:4092]) == struct.unpack_from("<I", block, 4092)[0], "checksum of the superblock")
        blank = block[:152] + bytes(32) + block[184:4092] + bytes(4)
        require(hashlib.sha256(blank).digest() == block[152:184], "digest of the superblock")
        require(size == SUPERBLOCK, f"superblock_size {size}")
        require(compatible or zero(block[82:88]) and zero(block[184:4092]), "reserved bytes of the superblock")
        self.catalog = Section(*catalog)
        self.hash_offset, self.hash_size, algorithm, leaf_log2 = struct.unpack_from("<2Q2B", block, 64)
        require(algorithm == 1 and leaf_log2 == 17, f"hash algorithm {algorithm}, leaves of 2^{leaf_log2}")
        self.hash_root, self.generator = block[88:120], block[120:152].rstrip(b"\0").decode(errors="replace")
        require(self.size <= len(self.data), "the image is cut off")
        require(SUPERBLOCK < self.hash_offset <= self.size, "hash_offset")
        require(self.hash_offset % 8 == 0 and self.hash_size == self.size - self.hash_offset, "hash_size")

    # ---- Hash tree ----

    def check_hash_tree(self):
        begin, end, stored = SUPERBLOCK, self.hash_offset, self.hash_offset
        while True:
            level = b"".join(hashlib.sha256(self.data[at:min(at + LEAF, end)]).digest()
                             for at in range(begin, end, LEAF))
            if len(level) == HASH:
                break
            begin, end = stored, stored + len(level)
            require(end <= self.size, "the hash tree is cut off")
            for i in range(0, len(level), HASH):
                require(self.data[begin + i:begin + i + HASH] == level[i:i + HASH],
                        f"hash tree: something is wrong from byte {i // HASH * LEAF} of the level below on")
            stored = end
        require(stored == self.size, "hash_size")
        require(level == self.hash_root, "hash_root")

    # ---- Layout ----

    def check_extent(self, extent, what):
        require(SUPERBLOCK <= extent.offset and extent.offset + extent.stored_size <= self.hash_offset,
                f"{what} lies outside of the image")

    def check_layout(self, streams, indexes, blobs):
        """Extents do not overlap, ascend by number, and only alignment makes padding."""
        extents = [(s.offset, s.stored_size, 4096 if s.raw_size >= 4 << 20 else 64) for s in streams]
        extents += [(s.offset, s.stored_size, 8) for s in [*indexes, *blobs, self.catalog]]
        for kind in streams, indexes, blobs:
            end = 0
            for extent in kind:
                require(end <= extent.offset, "streams, blobs or indexes overlap or are out of order")
                end = extent.offset + extent.stored_size
        extents.sort(key=lambda extent: (extent[0], extent[1], -extent[2]))  # of those at one place, empty ones first
        end = SUPERBLOCK
        for offset, size, alignment in extents:
            require(offset == round_up(end, alignment), f"an extent at {offset} where the one before ends at {end}")
            require(zero(self.data[end:offset]), f"padding from {end} on is not zero")
            end = offset + size
        tree = last = round_up(end, 8)
        while (last + hash_tree_size(last - SUPERBLOCK)) % 512:
            last += 8
        # That the image ends where a sector does is the writer's duty alone.
        require(tree <= self.hash_offset <= last, f"the hash tree at {self.hash_offset} where {last} is due")
        require(zero(self.data[end:self.hash_offset]), f"padding from {end} on is not zero")

    # ---- Catalog ----

    def read_catalog(self, catalog):
        require(len(catalog) >= 40, "the catalog has no header")
        *counts, names, transcodes = struct.unpack_from("<10I", catalog)
        arrays, at = [], 40
        for count, entry in zip([*counts, transcodes, names], [32, 24, 104, 56, 24, 8, 8, 8, 32, 1]):
            arrays.append(catalog[at:at + count * entry])
            at += count * entry
        require(at == len(catalog), "the catalog does not consist of its arrays")
        nodes, pieces, tensors, streams, blobs, shards, dims, params, transcodes, self.names = arrays
        self.dims = [dim for dim, in struct.iter_unpack("<Q", dims)]
        self.params = list(struct.iter_unpack("<fi", params))
        require(all(math.isfinite(scale) for scale, _ in self.params), "the scale of a parameter is not finite")
        self.shards = [self.string(*shard) for shard in struct.iter_unpack("<2I", shards)]
        self.read_extents(streams, blobs)
        self.transcodes = [Transcode(*row[:5], row[5:]) for row in struct.iter_unpack("<H2BIQ8H", transcodes)]
        self.pieces = [Piece(*piece) for piece in struct.iter_unpack("<2I2Q", pieces)]
        self.check_pieces()
        self.read_nodes(list(struct.iter_unpack("<2I3I4B1Q", nodes)))
        self.tensors = [self.read_tensor(i, *tensor)
                        for i, tensor in enumerate(struct.iter_unpack("<4I4B2H6I3d32s", tensors))]
        for i, transcode in enumerate(self.transcodes):
            if transcode.rule == JOIN:
                self.check_join(f"transcode {i}: ", transcode)
            elif transcode.rule == BLOCKS:
                self.check_blocks(f"transcode {i}: ", transcode)
            else:
                self.check_numbers(f"transcode {i}: ", transcode)

    def string(self, offset, size):
        require(offset + size <= len(self.names), "a name lies outside of the names")
        return self.names[offset:offset + size]

    # ---- Nodes, pieces ----

    def check_pieces(self):
        for i, piece in enumerate(self.pieces):
            require(piece.kind in (OF_STREAM, OF_BLOB, OF_TRANSCODE), f"kind {piece.kind} of piece {i}")
            sources = {OF_STREAM: self.streams, OF_BLOB: self.blobs, OF_TRANSCODE: self.transcodes}[piece.kind]
            require(piece.source < len(sources), f"source of piece {i}")
            size = len(sources[piece.source]) if piece.kind == OF_BLOB else sources[piece.source].raw_size
            require(piece.length >= 1 and piece.offset + piece.length <= size, f"piece {i} lies outside of its source")

    def read_nodes(self, rows):
        self.nodes = []
        next_node, next_piece = 1, 0
        last = None  # (parent, name) of the node before
        for i, (name_at, name_size, parent, first, count, kind, *reserved, size) in enumerate(rows):
            name = self.string(name_at, name_size)
            require(reserved == [0, 0, 0] and kind in (DIRECTORY, FILE), f"type or reserved field of node {i}")
            if i == 0:
                require((name_at, name, parent, kind) == (0, b"", 0, DIRECTORY), "the root")
                path, depth = b"", 0
            else:
                require(1 <= len(name) <= 255 and name not in (b".", b"..") and not set(name) & set(b"/\0"),
                        f"node {i} is named {name!r}")
                require(i < next_node and parent < i, f"node {i} has no parent")
                above = self.nodes[parent]
                require(above.type == DIRECTORY and above.first <= i < above.first + above.count,
                        f"the parent of node {i}")
                require(last is None or last[0] != parent or last[1] < name, f"node {i} is out of order")
                last = parent, name
                path, depth = os.path.join(above.path, name), above.depth + 1
                require(depth <= 64, f"node {i} is at depth {depth}")
            if kind == DIRECTORY:
                require(size == 0 and first == next_node, f"directory {path!r}")
                next_node += count
            else:
                require(first == next_piece and first + count <= len(self.pieces), f"pieces of {path!r}")
                require(sum(piece.length for piece in self.pieces[first:first + count]) == size, f"size of {path!r}")
                next_piece += count
            self.nodes.append(Node(name, parent, first, count, kind, size, path, depth))
        require(self.nodes and next_node == len(self.nodes), "a directory has children that do not exist")
        require(next_piece == len(self.pieces), "a piece belongs to no file")

    # ---- Tensors ----

    def read_tensor(self, i, name_at, name_size, shard, order, dtype, rank, bits, scheme, transcode, reserved,
                    first_dim, first_param, param_count, stream, stream_count, node, entropy, sqnr, error, digest):
        what = f"tensor {i}: "
        require(dtype in DTYPES, what + f"source_dtype {dtype}")
        require(bits in (0, 4, 8), what + f"bits {bits}")
        require(scheme < len(SCHEMES) and (scheme == KEPT) == (bits == 0), what + f"scheme {scheme} with {bits} bits")
        require(transcode == 0 and stream_count == 1, what + f"transcode {transcode} of {stream_count} streams")
        require(reserved == 0, what + "reserved field")
        require(shard < len(self.shards), what + "shard")
        require(rank <= 32 and first_dim + rank <= len(self.dims), what + "dimensions")
        shape = self.dims[first_dim:first_dim + rank]
        weights = math.prod(shape)
        require(param_count == 0 if bits == 0 else param_count in [1] + shape[:1], what + "param_count")
        require(first_param + param_count <= len(self.params), what + "parameters")
        require(not bits or DTYPES[dtype] in FLOATS, what + "codes of what is no float")
        require(SCHEMES[scheme] == "asymmetric" or
                not any(zero for _, zero in self.params[first_param:first_param + param_count]), what + "zero point")
        raw_size = -(-weights * bits // 8) if bits else weights * DTYPE_SIZES[dtype]
        require(stream < len(self.streams) and self.streams[stream].raw_size == raw_size, what + "stream")
        require(node < len(self.nodes) and self.nodes[node].type == FILE, what + "node")
        first, count = self.nodes[node].first, self.nodes[node].count
        whole = [Piece(OF_STREAM, stream, 0, raw_size)] if raw_size else []
        require(self.pieces[first:first + count] == whole, what + "its file is not its stream")
        require(not any(map(math.isnan, (entropy, sqnr, error))), what + "a figure is not a number")
        return Tensor(self.string(name_at, name_size), shard, order, DTYPES[dtype], bits, SCHEMES[scheme], shape,
                      self.params[first_param:first_param + param_count], stream, node, entropy, sqnr, error, digest,
                      raw_size)

    # ---- Transcodes ----

    def quantized_source(self, what, transcode):
        require(transcode.count == 0 and not any(transcode.sizes), what + "reserved field")
        require(transcode.source < len(self.tensors), what + "tensor")
        tensor = self.tensors[transcode.source]
        require(tensor.bits, what + "its tensor is not quantized")
        return tensor

    def check_numbers(self, what, transcode):
        require(transcode.rule == DEQUANTIZE, what + f"rule {transcode.rule}")
        tensor = self.quantized_source(what, transcode)
        require(DTYPES.get(transcode.dtype) in FLOATS, what + f"dtype {transcode.dtype}")
        require(transcode.raw_size == math.prod(tensor.shape) * DTYPE_SIZES[transcode.dtype], what + "raw_size")

    def check_blocks(self, what, transcode):
        tensor = self.quantized_source(what, transcode)
        require(transcode.dtype in GGML_BLOCKS, what + f"type {transcode.dtype}")
        bits, size, zeros = GGML_BLOCKS[transcode.dtype]
        require(tensor.bits == bits and tensor.shape and tensor.shape[-1] % 32 == 0, what + "its tensor")
        require(len(tensor.params) == 1 and tensor.params[0][1] in zeros, what + "parameters")
        scale, zero = tensor.params[0]
        added = scale * zero if transcode.dtype == Q4_1 else 0
        require(all(abs(number) < 65520 and struct.unpack("<e", struct.pack("<e", number))[0] == number
                    for number in (scale, added)), what + "not numbers of F16")
        require(transcode.raw_size == math.prod(tensor.shape) // 32 * size, what + "raw_size")

    def blocks(self, transcode):
        """Blocks of ggml: d, perhaps m, and 32 codes."""
        tensor = self.tensors[transcode.source]
        scale, zero = tensor.params[0]
        head = struct.pack("<e", scale) + (struct.pack("<e", -scale * zero + 0.0) if transcode.dtype == Q4_1 else b"")
        codes = self.read_stream(tensor.stream)
        if tensor.bits == 8:
            return b"".join(head + bytes(code ^ 128 for code in codes[at:at + 32]) for at in range(0, len(codes), 32))
        codes = bytes(half for byte in codes for half in (byte & 15, byte >> 4))
        return b"".join(head + bytes(low | high << 4 for low, high in zip(codes[at:at + 16], codes[at + 16:at + 32]))
                        for at in range(0, len(codes), 32))

    def check_join(self, what, transcode):
        word, count, sizes = transcode.dtype, transcode.count, transcode.sizes
        require(1 <= count <= len(sizes) and all(sizes[:count]) and not any(sizes[count:]), what + "planes")
        unit = sum(sizes)
        require(unit <= 1024 and (word == 0 or word in (2, 4) and unit % word == 0), what + "records")
        require(transcode.raw_size % unit == 0, what + "raw_size")
        require(transcode.source + count <= len(self.streams), what + "streams")
        for stream, size in zip(self.streams[transcode.source:], sizes[:count]):
            require(stream.raw_size == transcode.raw_size // unit * size, what + "size of a stream")

    def join(self, transcode):
        """Records of planes: of each record its fields, then each word rotated back."""
        planes = [self.read_stream(transcode.source + k) for k in range(transcode.count)]
        sizes, word = transcode.sizes[:transcode.count], transcode.dtype
        records = b"".join(plane[i * size:(i + 1) * size] for i in range(transcode.raw_size // sum(sizes))
                           for plane, size in zip(planes, sizes))
        if not word:
            return records
        words = (int.from_bytes(records[at:at + word], "little") for at in range(0, len(records), word))
        return b"".join((value >> 1 | (value & 1) << 8 * word - 1).to_bytes(word, "little") for value in words)

    def read_transcode(self, number):
        """The bytes that a transcode makes."""
        transcode = self.transcodes[number]
        if transcode.rule == JOIN:
            return self.join(transcode)
        if transcode.rule == BLOCKS:
            return self.blocks(transcode)
        tensor, dtype = self.tensors[transcode.source], DTYPES[transcode.dtype]
        weights = math.prod(tensor.shape)
        codes = self.read_stream(tensor.stream)
        if tensor.bits == 4:
            codes = bytes(half for byte in codes for half in (byte & 15, byte >> 4))[:weights]
        row = weights // len(tensor.params)
        parts = []
        for i, (scale, zero_point) in enumerate(tensor.params):
            table = [number_of(scale, code - zero_point, dtype) for code in range(1 << tensor.bits)]
            parts += map(table.__getitem__, codes[i * row:(i + 1) * row])
        return b"".join(parts)

    # ---- Streams ----

    def read_extents(self, stream_rows, blob_rows):
        """Streams with their indexes, and the blobs' raw bytes."""
        rows, indexes = [], []
        for i, row in enumerate(struct.iter_unpack("<6Q2BHI", stream_rows)):
            offset, stored_size, raw_size, at, size, index_size, block_log2, reserved1, table_count, reserved2 = row
            require(reserved1 == reserved2 == 0, f"reserved fields of stream {i}")
            require(12 <= block_log2 <= 16 and table_count <= 256, f"block_log2 or table_count of stream {i}")
            require(stored_size <= raw_size, f"stored_size of stream {i}")
            block_count = -(-raw_size >> block_log2)
            require(index_size == 256 * table_count + 8 * block_count <= 1 << 30, f"size of the index of stream {i}")
            rows.append(Stream(offset, stored_size, raw_size, 1 << block_log2, table_count, block_count))
            indexes.append(Section(at, size, index_size))
        blobs = [Section(*row) for row in struct.iter_unpack("<3Q", blob_rows)]
        for what, extents in ("stream", rows), ("index", indexes), ("blob", blobs):
            for i, extent in enumerate(extents):
                self.check_extent(extent, f"{what} {i}")
        self.check_layout(rows, indexes, blobs)
        contents = read_sections(self.data, indexes + blobs)
        self.streams = [self.read_index(i, *pair) for i, pair in enumerate(zip(rows, contents))]
        self.blobs = contents[len(indexes):]

    def read_index(self, number, stream, index):
        t, n = stream.tables, stream.blocks
        tables = [parse_table(index[at:at + 256]) for at in range(0, 256 * t, 256)]
        fields = struct.unpack_from(f"<{n}I{n}H{n}B{n}B", index, 256 * t)
        blocks, offset = [], stream.offset
        for i, (checksum, size, kind, argument) in enumerate(zip(*(fields[k * n:(k + 1) * n] for k in range(4)))):
            what = f"block {i} of stream {number}: "
            raw_size = min(stream.block_size, stream.raw_size - i * stream.block_size)
            require(kind in (RAW, CODED, CONSTANT), what + f"kind {kind}")
            if kind == CODED:
                require(argument < t, what + f"there is no table {argument}")
                require(1 <= size < raw_size, what + "stored size")
            else:
                require(size == 0, what + "stored size")
                require(kind == CONSTANT or argument == 0, what + f"argument {argument}")
                size = raw_size if kind == RAW else 0
            blocks.append(Block(offset, size, raw_size, checksum, kind, argument))
            offset += size
        require(offset == stream.offset + stream.stored_size, f"stored sizes of the blocks of stream {number}")
        return stream._replace(tables=tables, blocks=blocks)

    def read_block(self, number, i):
        """The raw bytes of block i of a stream."""
        block = self.streams[number].blocks[i]
        stored = self.data[block.offset:block.offset + block.stored_size]
        if block.kind == RAW:
            raw = stored
        elif block.kind == CONSTANT:
            raw = bytes([block.argument]) * block.raw_size
        else:
            raw = decode_block(self.streams[number].tables[block.argument], stored, block.raw_size)
        require(zlib.crc32(raw) == block.checksum, f"checksum of block {i} of stream {number}")
        return raw

    # ---- Files ----

    def files(self):
        return [node for node in self.nodes if node.type == FILE]

    def read_stream(self, number):
        """The raw bytes of a stream."""
        if number not in self.decoded:
            self.decoded[number] = b"".join(self.read_block(number, i)
                                            for i in range(len(self.streams[number].blocks)))
        return self.decoded[number]

    def read_file(self, node):
        """The bytes of a file, piece by piece."""
        for piece in self.pieces[node.first:node.first + node.count]:
            source = self.blobs[piece.source] if piece.kind == OF_BLOB else \
                self.read_stream(piece.source) if piece.kind == OF_STREAM else self.read_transcode(piece.source)
            yield source[piece.offset:piece.offset + piece.length]

    def check_tensor(self, tensor):
        raw = self.read_stream(tensor.stream)
        require(hashlib.sha256(raw).digest() == tensor.digest, f"digest of tensor {tensor.name!r}")

    def check_all(self):
        for number in range(len(self.streams)):
            self.read_stream(number)
        for tensor in self.tensors:
            self.check_tensor(tensor)

    def extract(self, folder):
        """Writes all files into a new folder. Names have been checked: nothing is written elsewhere."""
        os.mkdir(folder)
        for node in self.nodes[1:]:
            path = os.path.join(os.fsencode(folder), node.path)
            if node.type == DIRECTORY:
                os.mkdir(path)
            else:
                with open(path, "xb") as file:
                    file.writelines(self.read_file(node))


def open_image(path, offset=0):
    with open(path, "rb") as file:
        require(0 <= offset < os.fstat(file.fileno()).st_size, "not an entrofs image")
        return Image(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[offset:])


def main():
    parser = argparse.ArgumentParser(description="Checks all of an entrofs image.")
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("--offset", type=int, default=0, metavar="N", help="the image begins at byte N of the file")
    parser.add_argument("--list", action="store_true", help="list files and tensors; decode no blocks")
    parser.add_argument("--extract", metavar="DIR", help="write all files into DIR, which must not exist")
    args = parser.parse_args()
    try:
        image = open_image(args.image, args.offset)
        if args.list:
            for node in image.files():
                print(f"{node.size:12} {os.fsdecode(node.path)!r}")
            for tensor in image.tensors:
                print(f"{tensor.raw_size:12} {os.fsdecode(tensor.name)!r} {tensor.dtype} {tensor.shape} "
                      f"{tensor.scheme} {tensor.bits or ''}")
        if args.extract or not args.list:
            image.check_all()
        if args.extract:
            image.extract(args.extract)
        if not args.list:
            print(f"{args.image}: {len(image.files())} files, {len(image.tensors)} tensors, no errors")
    except (BadImage, OSError) as error:
        sys.exit(f"{args.image}: {error}")


if __name__ == "__main__":
    main()
