"""Correct pictures of rare kinds are read, or named as unsupported; none is called broken."""

import io
import logging
import os
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from facestats.core.worker_pool import new_pool
from facestats.pictures.decode import PictureError, decode_picture, make_upright_rgb
from tests.pictures.rare import (
    GAMMA,
    P3,
    SRGB,
    add_chunk,
    bmp,
    encode,
    portrait_like,
    profile,
    tiff16,
)


def refusal(data):
    with pytest.raises(PictureError) as caught:
        decode_picture(data)
    return caught.value.status, str(caught.value)


def pixels(data):
    return np.asarray(decode_picture(data).image).astype(int)


def in_srgb(values):
    """Convert Display P3 with the gamma of `profile` to sRGB by its definition."""
    linear = (np.asarray(values) / 255) ** GAMMA @ np.linalg.inv(SRGB).dot(P3).T
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", [b"zTXt", b"tEXt", b"iTXt"])
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("size", [900_000, 2_000_000, 70_000_000])
def test_a_png_with_a_large_text_keeps_its_pixels(kind, before, size):
    if kind != b"zTXt" and size > 10_000_000:
        size = 3_000_000
    text = b"a" * size
    body = {
        b"zTXt": lambda: b"note\0\0" + zlib.compress(text, 1),
        b"tEXt": lambda: b"note\0" + text,
        b"iTXt": lambda: b"note\0\1\0en\0note\0" + zlib.compress(text, 1),
    }[kind]()
    data = encode(portrait_like())
    for _ in range(3):
        data = add_chunk(data, kind, body, before=before)
    np.testing.assert_array_equal(pixels(data), np.asarray(portrait_like()))


def test_a_png_with_many_texts_keeps_its_pixels():
    data = encode(portrait_like())
    for _ in range(80):
        data = add_chunk(data, b"zTXt", b"note\0\0" + zlib.compress(bytes(990_000), 1))
    np.testing.assert_array_equal(pixels(data), np.asarray(portrait_like()))


def test_a_large_profile_is_used():
    large, small = profile(padding=3_000_000), profile()
    found = [decode_picture(encode(portrait_like(), icc_profile=icc)) for icc in (large, small)]
    assert [picture.icc_profile for picture in found] == ["Display P3"] * 2
    assert found[0].image.tobytes() == found[1].image.tobytes()
    bomb = add_chunk(encode(portrait_like()), b"iCCP", b"p\0\0" + zlib.compress(bytes(60_000_000), 1))
    assert decode_picture(bomb).icc_profile is None
    np.testing.assert_array_equal(pixels(bomb), np.asarray(portrait_like()))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_colours_with_a_profile_become_srgb(kind):
    image = Image.new("RGB", (32, 32), (200, 110, 90))
    options = {} if kind in {"PNG", "TIFF"} else {"quality": 95}
    found = decode_picture(encode(image, kind, icc_profile=profile(), **options))
    assert found.icc_profile == "Display P3"
    np.testing.assert_allclose(np.asarray(found.image).mean(axis=(0, 1)), in_srgb((200, 110, 90)), atol=3)
    assert in_srgb((200, 110, 90))[0] > 210, "redder in numbers: the primaries of P3 are purer"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1", "CMYK", "I;16"])
@pytest.mark.parametrize("space", [b"RGB ", b"GRAY"])
def test_pixels_of_every_kind_survive_every_profile(mode, space):
    image = (
        portrait_like().convert("L").convert("I").convert("I;16")
        if mode == "I;16"
        else portrait_like().convert(mode)
    )
    kind = "TIFF" if mode == "CMYK" else "PNG"
    plain, data = encode(image, kind), encode(image, kind, icc_profile=profile(space=space))
    found = decode_picture(data)
    assert (found.image.mode, found.image.size, found.icc_profile) == ("RGB", image.size, "Display P3")
    # a profile of other pixels does not count
    if (space == b"GRAY" and mode in {"RGB", "RGBA", "P"}) or mode == "CMYK":
        np.testing.assert_array_equal(np.asarray(found.image), pixels(plain))
    assert make_upright_rgb(Image.open(io.BytesIO(data))).tobytes() == found.image.tobytes()


def test_the_image_of_a_file_with_a_profile_is_not_converted_twice():
    upright = make_upright_rgb(Image.open(io.BytesIO(encode(portrait_like(), icc_profile=profile()))))
    assert decode_picture(encode(upright)).image.tobytes() == upright.tobytes()


def test_srgb_and_broken_profiles_leave_the_pixels():
    for icc, name in (
        (profile("sRGB IEC61966-2.1", colours=SRGB), "sRGB IEC61966-2.1"),
        (b"no profile", None),
        (profile()[:200], None),
        (profile(space=b"LAB "), "Display P3"),
    ):
        found = decode_picture(encode(portrait_like(), icc_profile=icc))
        assert found.icc_profile == name
        np.testing.assert_array_equal(np.asarray(found.image), np.asarray(portrait_like()))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_is_complete_without_its_end_marker_and_nothing_else(options, mode):
    image = portrait_like().convert(mode)
    data = encode(image, "JPEG", quality=90, **options)
    for cut in (1, 2):
        np.testing.assert_array_equal(pixels(data[:-cut]), pixels(data))
    for cut in (4, 5, 8, 20, 60, len(data) // 2):
        assert refusal(data[:-cut])[0] == "truncated", cut
    assert refusal(data[: data.index(b"\xff\xda")])[0] in {"truncated", "corrupt"}


def test_a_jpeg_that_ends_before_the_colours_is_truncated():
    data = encode(portrait_like(), "JPEG", progressive=True)
    scans = [i for i in range(len(data) - 1) if data[i : i + 2] == b"\xff\xda"]
    assert refusal(data[: scans[0] + 14])[0] == "truncated"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bmp(bytes(32 * 8), bits=2, colours=4), "depth"),
        (bmp(bytes(32 * 96), header=16), "header type"),
        (bmp(bytes(32 * 96), header=64, compression=4), "compression"),
        (bmp(b"\xff\xd8\xff" + bytes(400), compression=4, bits=0), "depth"),
        (bmp(bytes(32 * 64), bits=16, compression=3, header=56), "bitfields"),
        (bmp(b"\x10\x11" * 32 + b"\0\1", bits=4, compression=2, colours=16), "4 bits and run lengths"),
        (tiff16(np.zeros((32, 32))).replace(b"\x06\x01\x03\0\x01\0\0\0\x01", b"\x06\x01\x03\0\x01\0\0\0\x09"), "mode"),
    ],
)  # fmt: skip
def test_kinds_that_nobody_here_can_read_are_named_as_unsupported(data, words):
    status, text = refusal(data)
    assert status == "unsupported_format", text
    assert words in text
    assert "copy it again" not in text


def test_run_lengths_of_8_bits_are_read():
    rows = b"".join(bytes((32, 3)) + b"\0\0" for _ in range(32)) + b"\0\1"
    np.testing.assert_array_equal(
        pixels(bmp(rows, bits=8, compression=1, colours=16)), np.full((32, 32, 3), (48, 207, 48))
    )


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_levels_are_scaled_by_the_bits_that_they_use(bits):
    eight = np.arange(32 * 48).reshape(32, 48) % 256
    levels = np.rint(eight * ((2**bits - 1) / 255))
    np.testing.assert_array_equal(pixels(tiff16(levels))[..., 0], eight)


def test_colours_of_12_bits_in_16_are_refused_and_of_16_bits_read():
    eight = np.asarray(portrait_like()).astype(int)
    assert np.abs(pixels(tiff16(eight * 257)) - eight).max() <= 1
    status, text = refusal(tiff16(eight * 16))
    assert (status, "12 of their 16 bits" in text) == ("unsupported_format", True)
    assert pixels(tiff16(eight * 0)).max() == 0, "black stays black"


def write_as_a_library_does(_):
    os.write(2, b"a line of a library\n")
    logging.getLogger("PIL.TiffImagePlugin").error("More samples per pixel than can be decoded: 16")
    sys.stderr.write("a line of Python\n")


def test_libraries_write_nothing_to_the_terminal_from_worker_processes(capfd):
    pool = new_pool(1)
    pool.submit(write_as_a_library_does, 0).result()
    pool.shutdown(wait=True)
    assert capfd.readouterr().err == "a line of Python\n"
