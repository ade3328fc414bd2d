"""Correct pictures of rare kinds, written by hand: colour profiles, large texts, BMP and TIFF that few programs write."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

GAMMA = 2.2
# the colours red, green and blue of Display P3 and sRGB as XYZ under D50 (ICC.1:2010)
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def add_chunk(png, kind, body, *, before=b"IDAT"):
    """Put a chunk into a PNG."""
    at = png.index(before) - 4
    return png[:at] + png_chunk(kind, body) + png[at:]


def profile(name="Display P3", *, colours=P3, space=b"RGB ", padding=0):
    """Write an ICC profile (version 2) of three colours and one gamma, or of grey."""
    text = name.encode() + b"\0"
    description = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)
    gamma = b"curv" + bytes(4) + struct.pack(">IH", 1, round(GAMMA * 256))
    tags = {b"desc": description, b"wtpt": _xyz([0.9642, 1, 0.8249]), b"cprt": b"text" + bytes(4) + b"-\0"}
    if space == b"GRAY":
        tags[b"kTRC"] = gamma
    else:
        tags |= {b"rXYZ": _xyz(colours[:, 0]), b"gXYZ": _xyz(colours[:, 1]), b"bXYZ": _xyz(colours[:, 2])}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma)
    if padding:
        tags[b"priv"] = b"data" + bytes(4) + np.random.default_rng(0).bytes(padding)
    at, index, body = 128 + 4 + 12 * len(tags), b"", b""
    for tag, content in tags.items():
        index += tag + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12s4s", at + len(body), b"", 0x02100000, b"mntr", space, b"XYZ ", bytes(12), b"acsp"
    )
    head = head.ljust(68, b"\0") + _xyz([0.9642, 1, 0.8249])[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + index + body


def _xyz(values):
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))


def bmp(rows, *, bits=24, header=40, compression=0, size=(32, 32), colours=0):
    """Write a BMP with any values in its header."""
    palette = b"".join(bytes((16 * i, 255 - 16 * i, 16 * i, 0)) for i in range(colours))
    info = struct.pack(
        "<IiiHHIIiiII", header, *size, 1, bits, compression, len(rows), 2835, 2835, colours, 0
    ).ljust(header, b"\0")[:header]
    start = 14 + header + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + info + palette + rows


def tiff16(levels):
    """Write levels as an uncompressed TIFF of 16 bits: (h, w) grey or (h, w, 3) colour."""
    height, width, n = (*levels.shape, 1)[:3] if levels.ndim == 2 else levels.shape
    body = levels.astype("<u2").tobytes()
    bits_at = 8 + len(body)
    entries = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, n, 16 if n == 1 else bits_at), (259, 3, 1, 1),
        (262, 3, 1, 1 if n == 1 else 2), (273, 4, 1, 8), (277, 3, 1, n), (278, 3, 1, height),
        (279, 4, 1, len(body)),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (
        b"II*\0"
        + struct.pack("<I", bits_at + 6)
        + body
        + struct.pack("<3H", 16, 16, 16)
        + directory
        + bytes(4)
    )


def portrait_like(width=64, height=48, *, seed=0):
    """Draw soft colours, which every decoder shows alike."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
