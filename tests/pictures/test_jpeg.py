"""The scans of a JPEG are counted as a decoder finds them."""

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facestats.pictures.jpeg import count_scans
from tests.pictures.test_decode import encode, picture


def test_only_scans_that_a_decoder_reads_are_counted():
    plain, progressive = (encode(picture(), "JPEG", progressive=p) for p in (False, True))
    assert count_scans(plain, enough=9) == 1
    assert count_scans(progressive, enough=99) == progressive.count(b"\xff\xda") == 10
    assert count_scans(progressive, enough=4) == 4
    assert count_scans(encode(picture()), enough=9) == 0, "not a JPEG"
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8))
    assert count_scans(encode(noise, "JPEG", quality=98, restart_marker_rows=1), enough=9) == 1
    # a thumbnail in the metadata, and a video after the end
    within = encode(picture(), "JPEG", comment=plain * 3) + plain * 3
    assert count_scans(within, enough=9) == 1
    # bytes that a decoder skips within a scan do not hide the next scan
    hidden = plain[:-2] + (b"\xff\x02\xff\xff" + progressive[progressive.rindex(b"\xff\xda") : -2]) * 5
    assert count_scans(hidden + plain[-2:], enough=9) == 6
    begun = time.process_time()
    assert count_scans(plain[:-2] + b"\xff\xe0\0\0" * 5_000_000, enough=9) == 9, (
        "an endless series of markers"
    )
    assert time.process_time() - begun < 3


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_counting_scans_survives_any_bytes(data):
    broken = bytearray(encode(picture(), "JPEG", progressive=True))
    for _ in range(data.draw(st.integers(0, 8))):
        broken[data.draw(st.integers(2, len(broken) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(broken[: data.draw(st.integers(0, len(broken)))])
    assert 0 <= count_scans(cut, enough=20) <= 20
