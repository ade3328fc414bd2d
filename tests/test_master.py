import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import facestats as fs
from facestats.core.tables import FACES, FINGERPRINT

HAIR = pl.Enum(["black", "red", "blonde"])
option = st.sampled_from([None, "black", "red", "blonde"])


def faces(n):
    frame = pl.DataFrame({"image_id": [f"{i}.png" for i in range(n)]})
    rest = {c: pl.lit(None, dtype=pl.Null).cast(t) for c, t in FACES.columns.items() if c != "image_id"}
    return frame.with_columns(**rest)


def labels(values, prefix=""):
    n = len(values)
    probs = pl.Series([[0.5, 0.3, 0.2]] * n, dtype=pl.Array(pl.Float32, 3))
    columns = {
        f"{prefix}hair": pl.Series(values, dtype=HAIR),
        f"{prefix}hair_score": pl.Series([0.7] * n, dtype=pl.Float32),
    }
    columns |= {f"{prefix}hair_margin": pl.Series([0.2] * n, dtype=pl.Float32), f"{prefix}hair_probs": probs}
    return pl.DataFrame({"image_id": [f"{i}.png" for i in range(n)]} | columns)


@given(st.lists(st.tuples(option, option), min_size=1, max_size=20))
def test_precedence_and_conflict(pairs):
    pictures, texts = [p for p, _ in pairs], [t for _, t in pairs]
    master = fs.merge_master(
        faces(len(pairs)), attributes=labels(pictures), text_labels=labels(texts, prefix="text_")
    )
    assert master["hair"].to_list() == [p if p is not None else t for p, t in pairs]
    assert master["hair_conflict"].to_list() == [None not in pair and pair[0] != pair[1] for pair in pairs]
    sources = {
        (True, True): "agreement", (True, False): "image", (False, True): "text", (False, False): None,
    }  # fmt: skip
    for (p, t), source in zip(pairs, master["hair_source"], strict=True):
        wanted = (
            "image" if p is not None and t is not None and p != t else sources[p is not None, t is not None]
        )
        assert source == wanted
    assert master["image_hair"].to_list() == pictures


def test_rows_and_order_are_those_of_faces():
    shuffled = labels(["red", "black", "blonde"]).sample(fraction=1, shuffle=True, seed=3)
    master = fs.merge_master(
        faces(3),
        attributes=shuffled,
        extra=pl.DataFrame({"image_id": ["2.png", "0.png", "1.png"], "k": [2, 0, 1]}),
    )
    assert master["hair"].to_list() == ["red", "black", "blonde"]
    assert master["k"].to_list() == [0, 1, 2]
    assert FINGERPRINT not in master.columns


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (labels(["red"] * 4), r"'attributes' has 1 rows that faces has not, for example '3.png'"),
        (labels(["red"] * 2), r"'attributes' has 1 rows too few, for example '2.png'"),
        (pl.concat([labels(["red"] * 3), labels(["red"])]), "'attributes' repeats image_id values"),
        (labels(["red"] * 3).with_columns(width=pl.lit(1)), r"columns that are already there: \['width'\]"),
        (labels(["red"] * 3).drop("image_id"), "'attributes' has no image_id column"),
    ],
)
def test_tables_of_other_pictures_are_refused_by_name(table, message):
    with pytest.raises(fs.TableError, match=message):
        fs.merge_master(faces(3), attributes=table)
