from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import facestats as fs
from facestats import faces
from facestats.core.protocols import Face
from facestats.core.tables import N_LANDMARKS
from tests.golden import block_means, check_golden

SIZE = 64
# a head in pupil distances, x to the right, y down, z away from the viewer
HEAD = {
    33: (-0.7, -0.1, 0.05),
    133: (-0.28, -0.07, -0.05),
    362: (0.27, -0.08, -0.06),
    263: (0.72, -0.1, 0.02),
}
HEAD |= {468: (-0.5, -0.08, 0), 473: (0.5, -0.08, 0), 10: (0, -0.9, -0.3), 168: (0, -0.15, -0.35)}
HEAD |= {4: (0.02, 0.45, -0.7), 2: (0, 0.65, -0.4), 234: (-1.1, 0.2, 0.9), 454: (1.05, 0.2, 0.85)}
HEAD |= {61: (-0.4, 1, -0.3), 291: (0.38, 1.02, -0.3)}
# file -> size, and of each face: pupil distance, x, y, yaw, pitch, roll in degrees
PICTURES = {
    "plain.png": ((320, 240), [(60, 150, 100, 20, -15, 10)]),
    "small.png": ((120, 101), [(11, 60, 44, -35, 10, -25)]),
    "large.png": ((330, 330), [(115, 160, 140, 5, 25, 170)]),
    "edge.png": ((151, 131), [(40, 12, 20, 0, 0, -8)]),
    "several.png": ((301, 201), [(30, 60, 60, 0, 0, 0), (32, 220, 80, 8, 0, 93), (20, 130, 80, 0, 9, -4)]),
    "equal.png": ((301, 202), [(30, 60, 60, 0, 0, 0), (30, 32, 80, 0, 0, 0)]),
    "grey16.png": ((160, 120), [(30, 80, 50, 12, 6, 0)]),
    "turned.png": ((140, 180), [(32, 70, 80, -9, -3, 2)]),
    "clear.png": ((161, 121), [(28, 80, 50, -5, 5, 15)]),
    "moving.gif": ((122, 90), [(24, 60, 40, 3, 3, 3)]),
    "box.png": ((123, 141), [(33, 60, 60, 0, 0, 0)]),
    "no_irises.png": ((124, 142), [(33, 60, 60, 6, 0, 5)]),
    "least.png": ((16, 20), [(7, 8, 9, 0, 0, 0)]),
    "nobody.png": ((50, 40), []),
    "broken_model.png": ((51, 40), []),
}


class Heads:
    """Finds in a picture of known size the heads that `PICTURES` puts there."""

    name = "heads@1"

    def find(self, pixels):
        name = {size: name for name, (size, _) in PICTURES.items()}.get(pixels.shape[1::-1], "nobody.png")
        if name == "broken_model.png":
            msg = "no such layer"
            raise ValueError(msg)
        found = []
        for distance, x, y, *angles in PICTURES[name][1]:
            points = distance * turn(*angles, head()) + [x, y, 0]
            box = (*points[:, :2].min(axis=0).tolist(), *points[:, :2].max(axis=0).tolist())
            flat, depth = points[:, :2].astype(np.float32), points[:, 2].astype(np.float32)
            if name == "no_irises.png":
                flat, depth = flat[:468], depth[:468]
            known = None if name == "box.png" else flat
            score = np.nan if name == "box.png" else 0.9
            found.append(Face(known, None if name == "edge.png" else depth, box, score, self.name))
        return found


def head():
    points = np.random.default_rng(0).uniform((-0.6, -0.5, -0.3), (0.6, 1.1, 0.3), size=(N_LANDMARKS, 3))
    points[list(HEAD)] = list(HEAD.values())
    return points


def turn(yaw, pitch, roll, points):
    (a, b, c), (sa, sb, sc) = (f(np.deg2rad([yaw, pitch, roll])) for f in (np.cos, np.sin))
    around_y = np.array([[a, 0, -sa], [0, 1, 0], [sa, 0, a]])
    around_x = np.array([[1, 0, 0], [0, b, sb], [0, -sb, b]])
    around_z = np.array([[c, -sc, 0], [sc, c, 0], [0, 0, 1]])
    return points @ (around_z @ around_x @ around_y).T


def texture(width, height, seed):
    """Stripes and patches that no filter leaves alone."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (2 + k + seed % 3) + y / (5 - k)) for k in range(3)]
    patches = np.kron(
        np.random.default_rng(seed).uniform(-60, 60, (height // 12 + 1, width // 12 + 1)), np.ones((12, 12))
    )
    return np.clip(128 + 55 * np.stack(waves, axis=-1) + patches[:height, :width, None], 0, 255).astype(
        np.uint8
    )


def draw(folder):
    """Write the pictures that hold heads, and files that are no usable pictures."""
    for seed, (name, ((width, height), _)) in enumerate(PICTURES.items()):
        image = Image.fromarray(texture(width, height, seed))
        settings = {}
        if name == "grey16.png":
            image = Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 250 + 77)
        elif name == "turned.png":
            settings["exif"] = Image.Exif()
            settings["exif"][0x0112] = 6  # lies on its side
            image = image.transpose(Image.Transpose.ROTATE_90)
        elif name == "clear.png":
            image.putalpha(Image.fromarray(texture(width, height, seed + 1)[..., 0]))
        elif name == "moving.gif":
            image = image.quantize(32, dither=Image.Dither.NONE)
            settings = {"save_all": True, "append_images": [image.rotate(180)]}
        image.save(folder / name, **settings)
    Image.fromarray(texture(401, 280, 0)).save(folder / "too_many_pixels.png")
    Image.fromarray(texture(15, 60, 0)).save(folder / "too_small.png")
    Image.fromarray(texture(40, 40, 0)[..., 0].astype(np.float32)).save(folder / "float.tiff")
    deep = Image.fromarray(np.full((40, 40), 65536, dtype=np.int32))
    deep.save(folder / "deep.tiff")
    whole = (folder / "plain.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").touch()
    (folder / "page.jpg").write_bytes(b"<!DOCTYPE html><title>404</title>")
    (folder / "another_format.jpg").write_bytes(struct.pack(">I", 12) + b"JXL " + bytes(16))
    # only a header, of a picture beyond the usual limit
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 8000, 6251, 1, 24, 0, 0, 0, 0, 0, 0)
    (folder / "wide.bmp").write_bytes(header)
    with (folder / "heavy.png").open("wb") as file:
        file.truncate(100_000_001)  # a hole: it takes no room
    Image.fromarray(texture(100, 100, 0)).save(folder / "slow.jpg")
    scans = (
        (folder / "slow.jpg").read_bytes().removesuffix(b"\xff\xd9") + b"\xff\xda\0\2" * 50_001 + b"\xff\xd9"
    )
    (folder / "slow.jpg").write_bytes(scans)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    draw(folder)
    return fs.list_images(folder)


def summary(table):
    """What does not hang on a file's bytes; a logarithm bears that processors round the last grey level apart."""
    known = [
        None if points is None else np.array(points)[[0, 33, 473]] for points in table["landmarks"].to_list()
    ]
    return table.drop("sha256", "bytes", "landmarks").with_columns(
        error=table["error"].str.replace(r" \(.*\)", ""),  # what another library says of it
        crop=table["crop"].str.replace(r"\.[0-9a-f]{8}\.jpg$", ""),
        sharpness=table["sharpness"].log(),
        some_landmarks=pl.Series([None if p is None else p.ravel().tolist() for p in known]),
    )


def test_the_golden_values_of_faces(images, tmp_path):
    table = fs.align_faces(images, Heads(), tmp_path, size=SIZE, max_pixels=110_000, workers=1)
    strict = fs.align_faces(
        images.filter(pl.col("image_id").is_in(["several.png", "wide.bmp"])),
        Heads(),
        tmp_path,
        policy="reject",
        workers=1,
    )
    crops = {
        Path(crop).name.split(".")[0]: Image.open(tmp_path / crop) for crop in table["crop"].drop_nulls()
    }
    check_golden(
        "faces",
        faces.VERSION,
        {
            "faces": summary(table),
            "strict": strict.select("image_id", "status", "error", "n_faces", "crop"),
            "pixels": {name: block_means(crop) for name, crop in crops.items()},
            # the quality of a JPEG is in its tables, which no processor changes
            "quality": {name: sum(map(sum, crop.quantization.values())) for name, crop in crops.items()},
            "subsampling": [crop.layer for crop in crops.values()][:1],
        },
    )
