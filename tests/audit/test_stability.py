import shutil

import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats.audit.changed_crops import VARIANTS, _variant_matrix
from facestats.core.attribute_settings import AttributeSettings
from facestats.testing import FakeEncoder, FakeLandmarker, draw_faces


class LeftHalf(FakeEncoder):
    """Sees only whether the left half of the crop is brighter than the right: mirroring changes it."""

    name = "left-half@1"
    dim = 2

    def encode_images(self, pixels):
        half = pixels.shape[2] // 2
        left, right = (
            p.astype(np.float32).mean(axis=(1, 2, 3)) for p in (pixels[:, :, :half], pixels[:, :, half:])
        )
        brighter = left > right
        return np.stack([brighter, ~brighter], axis=1).astype(np.float32)

    def encode_texts(self, texts):
        return np.array([[1, 0] if "left" in text else [0, 1] for text in texts], dtype=np.float32)


SIDE = AttributeSettings(
    title="Side",
    image_templates=("the {} side",),
    text_templates=("{}.",),
    options={side: {"image": (side,), "text": (side,)} for side in ("left", "right")},
)


@pytest.fixture
def faces(tmp_path):
    from PIL import Image

    draw_faces(tmp_path / "raw", n_faces=6)
    for file in (tmp_path / "raw").glob("*.png"):
        pixels = np.array(Image.open(file))
        pixels[:, :150] = np.minimum(pixels[:, :150].astype(int) + 60, 255)
        Image.fromarray(pixels).save(file)
    images = fs.list_images(tmp_path / "raw")
    return fs.align_faces(images, landmarker=FakeLandmarker(), crops_dir=tmp_path / "crops", size=128)


def test_a_mirror_flips_what_depends_on_the_side_and_a_nudge_does_not(faces, tmp_path):
    changed = fs.audit.changed_crops(faces, LeftHalf(), raw_dir=tmp_path / "raw", size=128, n_faces=4)
    found = fs.audit.stability(changed, {"side": SIDE}, LeftHalf())
    flips = dict(found.select("variant", "flips").iter_rows())
    assert flips == {"mirrored": 1.0, "shifted": 0.0, "turned": 0.0, "scaled": 0.0}
    assert found["n"].to_list() == [4] * 4


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_matrixs_are_small_and_keep_the_centre_but_for_shifts(variant):
    matrix = _variant_matrix(variant, 512, np.random.default_rng(0))
    centre = np.full(2, 255.5)
    moved = np.linalg.norm(matrix[:, :2] @ centre + matrix[:, 2] - centre)
    assert moved == pytest.approx(0.02 * 512 if variant == "shifted" else 0, abs=1e-6)
    assert np.abs(matrix[:, :2] - np.eye(2)).max() < 0.06


def test_a_picture_that_is_gone_has_no_rows_and_no_picture_at_all_no_flips(faces, tmp_path):
    def changed():
        return fs.audit.changed_crops(faces, LeftHalf(), raw_dir=tmp_path / "raw", size=128)

    before = changed()
    first = faces["image_id"][0]
    (tmp_path / "raw" / first).unlink()
    assert changed().equals(before.filter(pl.col("image_id") != first))
    for file in (tmp_path / "raw").glob("*.png"):
        file.unlink()
    assert changed().schema == before.schema
    assert fs.audit.stability(changed(), {"side": SIDE}, LeftHalf())["n"].to_list() == [0] * 4


def test_a_changed_prompt_needs_no_new_crop(faces, tmp_path):
    given = {"raw_dir": tmp_path / "raw", "size": 128, "n_faces": 4}
    changed = fs.audit.changed_crops(faces, LeftHalf(), **given)
    shutil.rmtree(tmp_path / "raw")
    other = SIDE.model_copy(update={"image_templates": ("this {} side",)})
    assert fs.audit.stability(changed, {"side": other}, LeftHalf()).height == 4
