"""Pictures to break a decoder with: good ones of every format, rare and hostile ones, and mutations of all of them.

    python -m tests.hostile.pictures --n 10000

writes N mutated pictures and the corpus to a temporary folder, aligns them, and says what came of them. It fails if a file
has no row, a worker died or hung, or a process took more than a gigabyte.
"""

import argparse
import io
import resource
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

import facestats as fs
from facestats.core.worker_pool import stop_workers
from facestats.demo.gallery import plan_gallery, render
from tests.pictures.rare import add_chunk, bmp, encode, png_chunk, portrait_like, profile, tiff16

MAX_BYTES = 1_000_000_000  # of memory of one process
# the values at which sizes, offsets and counts go wrong
_MAGIC = [
    struct.pack(f, v) for f in ["<I", ">I", "<H", ">H"] for v in (0, 1, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF)
]
_MAGIC += [
    struct.pack(f, v) for f in ("<I", ">I") for v in (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000, 0x100000)
]
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
_USABLE = {"ok", "ok_first_frame", "no_face", "many_faces"}


def good_pictures():
    """Encode one drawn character in every format and in rare kinds, by name."""
    sheet = next(sheet for sheet in plan_gallery(8, seed=0) if sheet.kind == "character")
    (content, *_) = render(sheet)
    image = Image.open(io.BytesIO(content)).convert("RGB")
    image.thumbnail((160, 160))
    grey = np.asarray(image.convert("L")).astype(int)
    other = portrait_like(*image.size)
    found = {f"plain.{kind.lower()}": encode(image, kind) for kind in _FORMATS}
    found |= {
        "progressive.jpg": encode(image, "JPEG", progressive=True),
        "restarts.jpg": encode(image, "JPEG", restart_marker_blocks=2),
        "cmyk.jpg": encode(image.convert("CMYK"), "JPEG"),
        "grey.jpg": encode(image.convert("L"), "JPEG"),
        "two_mpo.jpg": encode(image, "MPO", save_all=True, append_images=[other]),
        "endless.jpg": encode(image, "JPEG")[:-2],
        "p3.jpg": encode(image, "JPEG", icc_profile=profile()),
        "p3.png": encode(image, "PNG", icc_profile=profile()),
        "text.png": add_chunk(encode(image), b"zTXt", b"note\0\0" + zlib.compress(bytes(3_000_000))),
        "palette.png": encode(image.quantize(16), "PNG"),
        "clear.png": encode(image.convert("RGBA"), "PNG"),
        "moving.gif": encode(image, "GIF", save_all=True, append_images=[other]),
        "moving.png": encode(image, "PNG", save_all=True, append_images=[other]),
        "moving.webp": encode(image, "WEBP", save_all=True, append_images=[other]),
        "deep.tif": tiff16(grey * 257),
        "twelve.tif": tiff16(grey * 16),
    }
    for way in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits", "tiff_adobe_deflate"):
        found[f"{way}.tif"] = encode(image, "TIFF", compression=way)
    return found


def hostile_pictures():
    """Write files that no decoder should trust, each with the statuses that it may have."""
    plain = encode(portrait_like())
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0))
    jpeg = encode(Image.new("RGB", (4000, 4000), (90, 90, 90)), "JPEG", progressive=True)
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    empty_gif = (
        b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x44\x01\0;"
    )
    return {
        "empty.jpg": (b"", {"empty"}),
        "start.jpg": (b"\xff\xd8\xff", {"corrupt"}),
        "page.jpg": (b"<!DOCTYPE html><html>404</html>", {"not_image"}),
        "half.png": (plain[: len(plain) // 2], {"truncated", "corrupt"}),
        "bomb.png": (plain[:8] + head + png_chunk(b"IDAT", b""), {"too_large"}),
        "bomb.gif": (empty_gif, {"too_large"}),
        "scans.jpg": (jpeg[:-2] + scan * 1000 + jpeg[-2:], {"too_large"}),
        "texts.png": (add_chunk(plain, b"zTXt", b"a\0\0" + zlib.compress(bytes(60_000_000), 1)), _USABLE),
        "profile.png": (add_chunk(plain, b"iCCP", b"a\0\0" + zlib.compress(bytes(60_000_000), 1)), _USABLE),
        "rle4.bmp": (bmp(b"\x10\x11" * 32 + b"\0\1", bits=4, compression=2, colours=16), {"unsupported_format"}),
        "os2.bmp": (bmp(bytes(32 * 96), header=16), {"unsupported_format"}),
        "thin.png": (encode(Image.new("RGB", (20_000, 3))), {"too_small"}),
        "polyglot.jpg": (encode(portrait_like(), "JPEG") + b"PK\x03\x04" + bytes(100), _USABLE),
    }  # fmt: skip


def mutate(data, rng):
    """Damage a file in one to eight ways: bits, values, blocks, its end; sometimes with correct checksums of a PNG."""
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        if len(data) < 16:
            break
        # headers, where the values are that decide most, are hit more often
        at = int(rng.integers(0, len(data) if rng.random() < 0.5 else min(len(data), 400)))
        way = int(rng.integers(0, 6))
        if way == 0:
            data[at] ^= 1 << int(rng.integers(0, 8))
        elif way == 1:
            data[at] = int(rng.integers(0, 256))
        elif way == 2:
            value = _MAGIC[int(rng.integers(0, len(_MAGIC)))]
            data[at : at + len(value)] = value
        elif way == 3:
            size = int(rng.integers(1, 64))
            source = int(rng.integers(0, len(data)))
            data[at:at] = data[source : source + size]
        elif way == 4:
            del data[at : at + int(rng.integers(1, 64))]
        elif rng.random() < 0.2:
            del data[at:]
    found = bytes(data)
    return _with_checksums(found) if found.startswith(b"\x89PNG") and rng.random() < 0.7 else found


def _with_checksums(png):
    parts, at = [png[:8]], 8
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4], "big")
        if end + 4 > len(png):
            break
        parts += [png[at:end], struct.pack(">I", zlib.crc32(png[at + 4 : end]))]
        at = end + 4
    return b"".join([*parts, png[at:]])


def write_pictures(folder, *, n, seed=0):
    """Write the corpus and `n` mutations to a folder; return the statuses that the hostile files may have."""
    folder.mkdir(parents=True, exist_ok=True)
    good, hostile = good_pictures(), hostile_pictures()
    for name, content in good.items():
        (folder / name).write_bytes(content)
    for name, (content, _) in hostile.items():
        (folder / f"hostile_{name}").write_bytes(content)
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        name = list(good)[i % len(good)]
        (folder / f"{i:06d}_{name}").write_bytes(mutate(good[name], rng))
    return {f"hostile_{name}": statuses for name, (_, statuses) in hostile.items()}


def align(folder, landmarker, **options):
    """Align all pictures below a folder; return their rows."""
    images = fs.list_images(folder)
    with tempfile.TemporaryDirectory() as crops:
        faces = fs.align_faces(images, landmarker, crops, size=64, **options)
    assert faces["image_id"].to_list() == images["image_id"].to_list()
    assert images.height == sum(path.is_file() for path in folder.iterdir())
    return faces


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        expected = write_pictures(raw, n=arguments.n, seed=arguments.seed)
        start = time.monotonic()
        faces = align(raw, fs.models.FaceMesh())
    seconds = time.monotonic() - start
    stop_workers()  # the system counts the memory of processes that have ended
    print(f"{faces.height:,} pictures and as many rows in {seconds:.0f} s")
    for status, n in faces["status"].value_counts(sort=True).iter_rows():
        print(f"{n:>7,} {status}")
    found = dict(faces.select("image_id", "status").iter_rows())
    wrong = [f"{name} is {found[name]}" for name, may in expected.items() if found[name] not in may]
    lost = faces.filter(faces["status"].cast(str).is_in(["decode_crash", "decode_timeout"]))[
        "image_id"
    ].to_list()
    print(f"workers lost by {lost or 'no picture'}; other statuses than expected: {wrong or 'none'}")
    unit = 1 if sys.platform == "darwin" else 1024
    used = {
        name: resource.getrusage(who).ru_maxrss * unit
        for name, who in (("this process", resource.RUSAGE_SELF), ("a worker", resource.RUSAGE_CHILDREN))
    }
    print("peak memory: " + ", ".join(f"{n / 1e6:,.0f} MB in {name}" for name, n in used.items()))
    return int(bool(lost or wrong) or max(used.values()) > MAX_BYTES)


if __name__ == "__main__":
    sys.exit(main())
