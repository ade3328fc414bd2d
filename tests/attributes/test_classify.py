import numpy as np
import polars as pl
import pytest
from PIL import Image

import facestats as fs
from facestats.core.tables import TableError

SHADES = ("dark", "grey", "light")


class Shade:
    """Classifies how light a picture is; for very dark ones, "none of the options" is most probable."""

    name = "shade@1"
    options = SHADES
    prefix = "eye"
    batch_size = 2

    def __init__(self):
        self.seen = 0

    def classify(self, images):
        self.seen += len(images)
        level = np.array([np.asarray(i).mean() / 255 for i in images])
        probs = np.stack([1 - level, 0.1 * level, 0.9 * level], axis=1)
        return np.where(level[:, None] < 0.05, 0.1, probs).astype(np.float32)


@pytest.fixture
def faces(tmp_path):
    levels = [250, 10, None, 60, 200, 0, 90]
    for i, level in enumerate(levels):
        if level is not None:
            Image.new("RGB", (20, 20), (level,) * 3).save(tmp_path / f"{i}.png")
    crops = [None if level is None else f"{i}.png" for i, level in enumerate(levels)]
    return pl.DataFrame({"image_id": [f"p{i}" for i in range(7)], "crop": crops})


def test_every_row_stays_and_says_what_its_crop_shows(faces, tmp_path):
    shade = Shade()
    found = fs.attributes.classify_faces(faces, {"tone": shade}, tmp_path)
    assert found["image_id"].to_list() == faces["image_id"].to_list()
    assert found["eye_tone"].to_list() == ["light", None, None, "dark", "light", None, "dark"]
    assert found.schema["eye_tone"] == pl.Enum(SHADES)
    assert found.schema["eye_tone_probs"] == pl.Array(pl.Float32, 3)
    assert shade.seen == 6
    kept = found.drop_nulls("eye_tone")
    probs = np.sort(kept["eye_tone_probs"].to_numpy(), axis=1)
    assert np.allclose(kept["eye_tone_score"], probs[:, -1])
    assert np.allclose(kept["eye_tone_margin"], probs[:, -1] - probs[:, -2])
    assert found["eye_tone_score"].is_null().to_list() == found["eye_tone"].is_null().to_list()


def test_rows_do_not_depend_on_each_other(faces, tmp_path):
    whole = fs.attributes.classify_faces(faces, {"tone": Shade()}, tmp_path)
    parts = [fs.attributes.classify_faces(faces[i : i + 3], {"tone": Shade()}, tmp_path) for i in (0, 3, 6)]
    assert whole.equals(pl.concat(parts))
    backwards = fs.attributes.classify_faces(faces.reverse(), {"tone": Shade()}, tmp_path)
    assert whole.equals(backwards.reverse())


def test_no_rows_no_crops_and_no_classifiers_are_no_special_cases(faces, tmp_path):
    empty = fs.attributes.classify_faces(faces.head(0), {"tone": Shade()}, tmp_path)
    assert empty.height == 0
    assert empty.schema == fs.attributes.classify_faces(faces, {"tone": Shade()}, tmp_path).schema
    assert fs.attributes.classify_faces(faces, {}, tmp_path).columns == ["image_id"]
    assert fs.attributes.classify_faces(faces[2:3], {"tone": Shade()}, tmp_path)["eye_tone"].to_list() == [
        None
    ]


def test_a_missing_crop_is_named(faces, tmp_path):
    (tmp_path / "3.png").unlink()
    with pytest.raises(ValueError, match=r"3\.png: .*facestats run --from 01"):
        fs.attributes.classify_faces(faces, {"tone": Shade()}, tmp_path)
    with pytest.raises(TableError, match="no column"):
        fs.attributes.classify_faces(faces.drop("crop"), {"tone": Shade()}, tmp_path)
