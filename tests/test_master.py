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


def human(values, scores=None):
    """Labels by people, as fs.human_labels.read gives them: only rows that somebody spoke of."""
    rows = [(f"{i}.png", "hair", v, 1.0 if scores is None else scores[i]) for i, v in enumerate(values) if v]
    schema = {"image_id": pl.String, "attribute": pl.String, "value": pl.String, "agreement": pl.Float32}
    return pl.DataFrame(rows, schema=schema, orient="row")


@given(st.lists(st.tuples(option, option, option, option), min_size=1, max_size=20))
def test_people_come_before_probes_before_agreement_before_picture_before_text(answers):
    said, probed, pictures, texts = map(list, zip(*answers, strict=True))
    attributes = labels(pictures).join(
        labels(probed, prefix="probe_").with_columns(probe_hair_score=pl.lit(0.9, pl.Float32)), on="image_id"
    )
    master = fs.merge_master(
        faces(len(answers)),
        attributes=attributes,
        text_labels=labels(texts, prefix="text_").with_columns(text_hair_score=pl.lit(0.6, pl.Float32)),
        human=human(said, scores=[0.75] * len(said)),
    )
    found = master.select("hair", "hair_source", "hair_score", "hair_conflict").rows()
    for (h, p, i, t), (value, source, score, conflict) in zip(answers, found, strict=True):
        ranked = [
            ("human", h, 0.75),
            ("probe", p, 0.9),
            ("agreement", i if i == t else None, 0.7),
            ("image", i, 0.7),
            ("text", t, 0.6),
        ]
        name, wanted, its_score = next((r for r in ranked if r[1] is not None), (None, None, None))
        assert (value, source) == (wanted, name)
        assert score == (None if its_score is None else pytest.approx(its_score))
        seen = i if p is None else p
        assert conflict == (seen is not None and t is not None and seen != t)
    assert master["image_hair"].to_list() == pictures
    assert master.schema["hair_source"].categories.to_list() == [
        "human",
        "probe",
        "agreement",
        "image",
        "text",
    ]
    if any(said):
        assert master["human_hair"].to_list() == said


def test_ties_between_people_decide_nothing():
    tie = human(["red", "red"]).with_columns(
        value=pl.Series([None, "black"]), agreement=pl.Series([None, 1.0])
    )
    master = fs.merge_master(faces(2), attributes=labels(["blonde", "red"]), human=tie)
    assert master["hair"].to_list() == ["blonde", "black"]
    assert master["hair_source"].to_list() == ["image", "human"]


def test_human_labels_of_other_pictures_are_refused_if_all_and_named_if_some(caplog):
    both = human(["red", "black", "blonde"])
    master = fs.merge_master(faces(2), attributes=labels(["red", "red"]), human=both)
    assert master["hair"].to_list() == ["red", "black"]
    assert "1 pictures with human labels are not in faces, such as '2.png'" in caplog.text
    strangers = both.with_columns(image_id="other/" + pl.col("image_id"))
    with pytest.raises(
        fs.tables.TableError, match=r"none of the 3 pictures with human labels, such as 'other/0.png'"
    ):
        fs.merge_master(faces(2), attributes=labels(["red", "red"]), human=strangers)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (human(["red"]).with_columns(attribute=pl.lit("fur")), r"are for \['fur'\].*has \['hair'\]"),
        (
            human(["red"]).with_columns(value=pl.lit("rde")),
            r"'hair' hold \['rde'\]; .* are \['black', 'red', 'blonde'\]",
        ),
        (pl.concat([human(["red"])] * 2), "'hair' name a picture twice"),
        (human(["red"]).drop("agreement"), "agreement"),
    ],
)
def test_human_labels_that_do_not_fit_are_refused_by_name(said, message):
    with pytest.raises(fs.tables.TableError, match=message):
        fs.merge_master(faces(1), attributes=labels(["red"]), human=said)


def test_tables_of_another_configuration_are_refused_by_name():
    other = pl.Enum(["black", "ginger", "blonde"])
    texts = labels(["black"], prefix="text_").with_columns(text_hair=pl.lit("ginger", dtype=other))
    with pytest.raises(
        fs.tables.TableError, match=r"'text_hair' has the options \['black', 'ginger', 'blonde'\], 'hair' has"
    ):
        fs.merge_master(faces(1), attributes=labels(["red"]), text_labels=texts)


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
        (labels(["red"] * 4), r"'attributes' has 1 rows that are not in faces, for example '3.png'"),
        (labels(["red"] * 2), r"'attributes' lacks 1 rows of faces, for example '2.png'"),
        (pl.concat([labels(["red"] * 3), labels(["red"])]), "'attributes' repeats image_id values"),
        (labels(["red"] * 3).with_columns(width=pl.lit(1)), r"columns that exist already: \['width'\]"),
        (labels(["red"] * 3).drop("image_id"), "'attributes' has no image_id column"),
    ],
)
def test_tables_of_other_pictures_are_refused_by_name(table, message):
    with pytest.raises(fs.tables.TableError, match=message):
        fs.merge_master(faces(3), attributes=table)
