import io
import os
import struct
import sys
import time
import tracemalloc
import zlib
from importlib.metadata import version

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facestats.core.tables import STATUSES
from facestats.pictures.decode import (
    FORMATS,
    MAX_BYTES,
    PictureError,
    decode_picture,
    make_upright_rgb,
    open_picture,
    read_picture_bytes,
)

ORIENTATION = 274  # EXIF tag
PILLOW = tuple(int(part) for part in version("pillow").split(".")[:2])


def picture(width=48, height=32, *, seed=0):
    """Draw coloured blocks of 8 pixels, which JPEG preserves; the corners differ."""
    blocks = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(np.kron(blocks, np.ones((8, 8, 1), dtype=np.uint8)))


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(data, **options):
    return np.asarray(decode_picture(data, **options).image).astype(int)


def status_of(data, **options):
    with pytest.raises(PictureError) as caught:
        decode_picture(data, **options)
    assert caught.value.status in STATUSES
    assert str(caught.value)
    assert str(caught.value).isprintable()
    return caught.value.status


def status_or_ok(data):
    try:
        return decode_picture(data).status
    except PictureError as error:
        return error.status


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width, height, depth=8, colour=2):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header


def png16(grey):
    """A 16-bit grey PNG of an (h, w) uint16 array, written by hand."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in grey)
    height, width = grey.shape
    head = png_header(width, height, 16, 0)
    return head + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_keep_every_pixel(kind):
    image = picture()
    found = decode_picture(encode(image, kind))
    assert found.format == kind
    assert found.status == "ok"
    assert found.image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(found.image), np.asarray(image))


@pytest.mark.parametrize(("kind", "near"), [("JPEG", 12), ("WEBP", 12), ("AVIF", 12), ("GIF", 40)])
def test_lossy_formats_keep_the_picture(kind, near):
    image = picture()
    options = {} if kind == "GIF" else {"quality": 95}
    data = encode(image, kind, **options)
    assert decode_picture(data).format == kind
    assert np.abs(pixels(data) - np.asarray(image)).mean() < near


def test_all_accepted_formats_are_tested():
    assert set(FORMATS) == {"PNG", "BMP", "TIFF", "PPM", "JPEG", "WEBP", "AVIF", "GIF"}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_come_upright(kind, orientation):
    # how a camera stores an upright picture under each tag (EXIF 2.3, table 4): the inverse of the display
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    image = picture()
    stored = image if undo is None else image.transpose(undo)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    found = pixels(encode(stored, kind, exif=exif))
    assert found.shape == (32, 48, 3)
    assert np.abs(found - np.asarray(image)).mean() < 12


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_impossible_orientation_is_ignored(value):
    exif = Image.Exif()
    exif[ORIENTATION] = value
    assert pixels(encode(picture(), "JPEG", exif=exif)).shape == (32, 48, 3)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0garbage that is no TIFF header",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 40,  # an impossible number of entries
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x08\0\0\0",  # next IFD is itself
    ],
)
def test_a_picture_with_broken_metadata_is_decoded(exif):
    found = decode_picture(encode(picture(), "JPEG", exif=exif))
    assert found.status == "ok"
    assert sorted(found.image.size) == [32, 48]


def test_an_orientation_counts_even_if_other_metadata_is_broken():
    # orientation 6, and a resolution of 1/0
    entries = struct.pack("<HHIHH", ORIENTATION, 3, 1, 6, 0) + struct.pack("<HHII", 282, 5, 1, 38)
    body = b"II*\0\x08\0\0\0\x02\0" + entries + b"\0\0\0\0" + struct.pack("<II", 1, 0)
    assert pixels(encode(picture(), "JPEG", exif=b"Exif\0\0" + body)).shape == (48, 32, 3)


def test_sixteen_bits_are_scaled_not_clipped():
    eight = np.arange(32 * 48, dtype=np.uint16).reshape(32, 48) % 256
    found = pixels(png16(eight * 257))
    np.testing.assert_array_equal(found, np.repeat(eight[..., None], 3, axis=2))
    tiff = encode(Image.fromarray((eight * 257).astype(np.uint16)), "TIFF")
    np.testing.assert_array_equal(pixels(tiff)[..., 0], eight)


def test_sixteen_bit_colour_is_scaled():
    values = np.random.default_rng(0).integers(0, 65536, (32, 48, 3)).astype(np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = png_header(48, 32, 16, 2)
    data = head + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    assert np.abs(pixels(data) - values / 257).max() <= 1


YCBCR = pytest.param(
    "YCbCr",
    marks=pytest.mark.skipif(PILLOW < (13,), reason="Pillow before 13 reads YCbCr in a TIFF as truncated"),
)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LA", "RGBA", "PA", YCBCR])
def test_every_kind_of_pixels_becomes_rgb(mode):
    image = picture().convert(mode)
    kind = {"CMYK": "TIFF", "YCbCr": "TIFF"}.get(mode, "PNG")
    if mode == "PA":
        image, kind = image.convert("RGBA").quantize(), "PNG"
    found = decode_picture(encode(image, kind)).image
    assert found.mode == "RGB"
    assert np.abs(np.asarray(found).astype(int) - np.asarray(image.convert("RGB"))).max() <= 8


def test_a_cmyk_jpeg_is_not_inverted():
    found = pixels(encode(Image.new("CMYK", (32, 32), (0, 0, 0, 0)), "JPEG"))
    assert found.min() > 245


@pytest.mark.parametrize("hidden", [(255, 0, 0), (0, 0, 255)])
def test_transparent_pixels_become_mid_grey_whatever_their_colour(hidden):
    image = Image.new("RGBA", (32, 32), (*hidden, 0))
    np.testing.assert_array_equal(pixels(encode(image)), np.full((32, 32, 3), 128))
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([0, 0, 0, *hidden])
    np.testing.assert_array_equal(pixels(encode(palette, transparency=1)), np.full((32, 32, 3), 128))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_first_frame_of_an_animation_counts(kind):
    first, second = (Image.new("RGB", (32, 32), c) for c in ((200, 30, 30), (30, 30, 200)))
    found = decode_picture(encode(first, kind, save_all=True, append_images=[second]))
    assert found.status == "ok_first_frame"
    assert np.asarray(found.image)[..., 0].mean() > 180


def test_a_photograph_followed_by_a_preview_is_not_an_animation():
    found = decode_picture(encode(picture(), "MPO", save_all=True, append_images=[picture(seed=1)]))
    assert (found.format, found.status) == ("MPO", "ok")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_picture_that_ends_early_is_an_error(kind, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encode(noise, kind)
    assert status_of(data[: int(len(data) * share)]) in {"truncated", "corrupt"}


def test_a_jpeg_without_its_end_is_truncated():
    data = encode(picture(480, 320), "JPEG")
    assert status_of(data[: len(data) // 2]) == "truncated"


def test_a_wrong_checksum_is_noticed():
    data = bytearray(encode(picture()))
    data[data.index(b"IDAT") + 8] ^= 0xFF
    assert status_of(bytes(data)) == "corrupt"


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", "empty", "0 bytes"),
        (b"a caption, not a picture", "not_image", "text"),
        ("Фотография и ещё слова".encode(), "not_image", "text"),
        (b"BMW and other cars", "not_image", "text"),
        (b"<!DOCTYPE html><html>404</html>", "not_image", "HTML"),
        (b"%PDF-1.7", "not_image", "PDF"),
        (b"\0\0\0\x18ftypisom....", "not_image", "video"),
        (b"PK\x03\x04....", "not_image", "zip"),
        (b"\x7fELF....", "not_image", "program"),
        (b"\x80\x04....", "not_image", "pickle"),
        (b"\0" * 64, "not_image", "no known kind"),
        (b"\xff\x0a....", "unsupported_format", "JPEG XL"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "unsupported_format", "PostScript"),
        (b'<svg xmlns="http://www.w3.org/2000/svg">', "unsupported_format", "SVG"),
        (b"8BPS....", "unsupported_format", "Photoshop"),
        (b"\xff\xd8\xff", "corrupt", "header is broken"),
    ],
)
def test_a_file_that_is_not_a_picture_is_named(data, status, words):
    assert status_of(data) == status
    with pytest.raises(PictureError, match=words):
        decode_picture(data)


def test_a_text_that_is_cut_within_a_letter_is_text():
    data = ("ж" * 400).encode()[:511]
    with pytest.raises(PictureError, match="text"):
        decode_picture(data)


@pytest.mark.parametrize(
    "data",
    [
        png_header(30_000, 30_000, 1, 0) + png_chunk(b"IDAT", b""),  # Pillow refuses
        png_header(10_000, 10_000) + png_chunk(b"IDAT", b""),  # Pillow only warns
        png_header(9_400, 9_400) + png_chunk(b"IDAT", b""),  # Pillow says nothing
        b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x44\x01\0;",
    ],
)
def test_a_decompression_bomb_is_refused_before_a_pixel_is_loaded(data):
    tracemalloc.start()
    assert status_of(data) == "too_large"
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def repeated_scans(side, n, *, progressive):
    """Make a JPEG that repeats its last scan `n` times, with a few bytes each."""
    data = encode(Image.new("RGB", (side, side), (90, 90, 90)), "JPEG", progressive=progressive)
    if progressive:
        scan = data[data.rindex(b"\xff\xda") : -2]
        return data[:-2] + scan * n + data[-2:]
    # one scan per component, without data: a decoder then buffers all scans
    start = data.index(b"\xff\xda")
    return data[:start] + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" * n + data[-2:]


@pytest.mark.parametrize("progressive", [True, False])
def test_a_jpeg_that_repeats_its_scans_is_refused_before_they_are_decoded(progressive):
    data = repeated_scans(4000, 1000, progressive=progressive)
    assert len(data) < 200_000
    begun = time.process_time()
    assert status_of(data) == "too_large"
    assert time.process_time() - begun < 1
    assert status_or_ok(repeated_scans(400, 100, progressive=progressive)) == "ok"
    small = repeated_scans(16, 60_000, progressive=progressive)
    assert status_of(small) == "too_large", "a scan of a tiny picture takes time as well"


def test_the_caller_sets_the_pixel_limit():
    data = encode(picture())
    assert status_of(data, max_pixels=48 * 32 - 1) == "too_large"
    assert pixels(data, max_pixels=48 * 32).shape == (32, 48, 3)


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (400, 15)])
def test_a_picture_with_a_short_side_is_too_small(size):
    assert status_of(encode(Image.new("RGB", size))) == "too_small"


def test_grey_levels_without_a_scale_are_refused():
    assert (
        status_of(encode(Image.fromarray(np.full((32, 32), 1e6, np.float32)), "TIFF")) == "unsupported_format"
    )
    huge = Image.fromarray(np.full((32, 32), 70_000, np.int32))
    assert status_of(encode(huge, "TIFF")) == "unsupported_format"


def test_text_chunks_that_inflate_take_no_memory():
    chunk = png_chunk(b"zTXt", b"note\0\0" + zlib.compress(b"\0" * 60_000_000, 1))
    data = encode(picture())
    at = data.index(b"IDAT") - 4
    tracemalloc.start()
    assert status_or_ok(data[:at] + chunk + data[at:]) in {"ok", "corrupt"}
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_broken_bytes_give_a_picture_or_a_status(data):
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM"]))
    broken = bytearray(encode(picture(), kind))
    for _ in range(data.draw(st.integers(1, 5))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(1, len(broken)))
    assert status_or_ok(bytes(broken[:end])) in STATUSES


def test_reading_gives_the_bytes_or_names_the_cause(tmp_path):
    good = tmp_path / "good.png"
    good.write_bytes(encode(picture()))
    assert read_picture_bytes(good) == good.read_bytes()
    assert open_picture(good).image.size == (48, 32)
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    expected = {
        "pipe.jpg": "not_regular_file",
        "empty.jpg": "empty",
        "folder.jpg": "not_regular_file",
        "loop.jpg": "unreadable",
        "zero.jpg": "not_regular_file",
        "sparse.jpg": "too_large",
        "gone.jpg": "vanished",
        "n" * 300 + ".jpg": "unreadable",
        "a\0b.jpg": "unreadable",
    }
    for name, status in expected.items():
        with pytest.raises(PictureError) as caught:
            read_picture_bytes(tmp_path / name)
        assert caught.value.status == status, name


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path):
    path = tmp_path / "closed.png"
    path.write_bytes(encode(picture()))
    path.chmod(0)
    with pytest.raises(PictureError) as caught:
        read_picture_bytes(path)
    assert caught.value.status == "permission_denied"


def heic(image, *others, mode=None, **options):
    """Encode pictures as one HEIC file; `mode` is that of pillow-heif, such as RGB;16."""
    package = pytest.importorskip("pillow_heif", reason="HEIC is an extra: pip install 'facestats[heic]'")
    if mode is None:
        file = package.from_pillow(image)
    else:
        file = package.from_bytes(mode, (image.shape[1], image.shape[0]), image.tobytes())
    for other in others:
        file.add_from_pillow(other)
    buffer = io.BytesIO()
    file.save(buffer, quality=95, **options)
    return buffer.getvalue()


def test_heic_keeps_the_picture():
    found = decode_picture(heic(picture()))
    assert (found.format, found.status, found.image.mode) == ("HEIF", "ok", "RGB")
    assert np.abs(np.asarray(found.image).astype(int) - np.asarray(picture())).mean() < 12


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic_comes_upright_and_is_not_turned_twice(orientation):
    undo = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    stored = picture() if orientation == 1 else picture().transpose(undo[orientation])
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    found = pixels(heic(stored, exif=exif.tobytes()))
    assert found.shape == (32, 48, 3)
    assert np.abs(found - np.asarray(picture())).mean() < 12


def test_heic_with_10_bits_grey_transparent_or_with_several_pictures():
    deep = np.asarray(picture()).astype(np.uint16) * 257
    assert np.abs(pixels(heic(deep, mode="RGB;16")) - np.asarray(picture())).mean() < 12
    assert decode_picture(heic(picture().convert("L"))).image.mode == "RGB"
    clear = picture().convert("RGBA")
    clear.putalpha(0)
    assert np.abs(pixels(heic(clear)) - 128).max() <= 2
    several = decode_picture(heic(picture(), Image.new("RGB", (64, 64), "red")))
    assert (several.status, several.image.size) == ("ok_first_frame", (48, 32))


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.99])
def test_a_heic_that_ends_early_is_truncated(share):
    data = heic(picture())
    assert status_of(data[: int(len(data) * share)]) == "truncated"


def test_a_heic_is_limited_in_size():
    data = heic(picture())
    assert status_of(data, max_pixels=1000) == "too_large"
    assert status_of(heic(Image.new("RGB", (8, 8)))) == "too_small"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=5))
def test_a_damaged_heic_gets_a_status(changes):
    data = bytearray(heic(picture()))
    for place, value in changes:
        data[int(place * len(data))] = value
    assert status_or_ok(bytes(data)) in STATUSES


def test_without_the_package_the_refusal_of_heic_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60)
    assert status_of(data) == "unsupported_format"
    with pytest.raises(PictureError, match=r"pip install 'facestats\[heic\]'"):
        decode_picture(data)


def test_an_avif_that_starts_like_a_heic_is_left_to_pillow(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = encode(picture(), "AVIF")
    assert data[8:12] == b"avif"
    assert decode_picture(data[:8] + b"mif1" + data[12:]).format == "AVIF"


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "LA", "CMYK", "YCbCr", "I;16"])
def test_an_opened_image_becomes_what_its_file_becomes(mode):
    image = picture().convert("L").convert("I").convert("I;16") if mode == "I;16" else picture().convert(mode)
    kind = "JPEG" if mode in {"CMYK", "YCbCr"} else "PNG"
    data = encode(image, kind)
    upright = make_upright_rgb(Image.open(io.BytesIO(data)))
    assert upright.tobytes() == decode_picture(data).image.tobytes()


def test_an_opened_image_is_turned_upright_and_stays_as_it_is():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = encode(picture(), "PNG", exif=exif)
    image = Image.open(io.BytesIO(data))
    assert make_upright_rgb(image).tobytes() == decode_picture(data).image.tobytes()
    assert image.size == (48, 32)


def test_an_opened_image_that_cannot_be_read_gets_a_status():
    data = encode(picture(), "JPEG")
    closed = Image.open(io.BytesIO(data))
    closed.close()
    for image, status in (
        (Image.open(io.BytesIO(data[:-9])), "corrupt"),
        (closed, "corrupt"),
        (Image.new("RGB", (4, 4)), "too_small"),
        (Image.new("F", (40, 40)), "unsupported_format"),
    ):
        with pytest.raises(PictureError) as caught:
            make_upright_rgb(image)
        assert caught.value.status == status
