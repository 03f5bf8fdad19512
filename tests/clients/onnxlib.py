# SPDX-License-Identifier: MIT
"""ONNX models, as far as the tests need them, written in protobuf's wire format.

The numbers of fields are those of onnx.proto3, of version 10 of the format.
"""

FLOAT, UINT8, BFLOAT16, UINT4 = 1, 2, 16, 21
OPSET = 21  # the first one with UINT4


def varint(number):
    out = bytearray()
    while number > 0x7f:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def field(number, value):
    """An integer, or bytes that follow their size: a string, a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(number, values):
    return b"".join(field(number, value) for value in values)


def external(name, dtype, shape, location, offset, length):
    """TensorProto: a tensor whose bytes are those of a file at this offset."""
    places = {"location": location, "offset": str(offset), "length": str(length)}
    pairs = [field(1, key) + field(2, value) for key, value in places.items()]
    return fields(1, shape) + field(2, dtype) + field(8, name) + fields(13, pairs) + field(14, 1)


def tensor(name, dtype, shape, data):
    return fields(1, shape) + field(2, dtype) + field(8, name) + field(9, data)


def node(operator, inputs, outputs, **integers):
    attributes = [field(1, name) + field(3, value) + field(20, 2) for name, value in integers.items()]
    return fields(1, inputs) + fields(2, outputs) + field(4, operator) + fields(5, attributes)


def floats(name, shape):
    """ValueInfoProto of an input or output."""
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, fields(1, [field(1, n) for n in shape]))))


def model(nodes, initializers, inputs, outputs):
    graph = fields(1, nodes) + field(2, "graph") + fields(5, initializers) + fields(11, inputs) + fields(12, outputs)
    return field(1, 10) + field(7, graph) + field(8, field(1, "") + field(2, OPSET))
