import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import facestats as fs
from facestats.human_labels.sampling import TEST_SHARE

sizes = st.integers(1, 120)


def table(n, seed=0, *, conflicts=True):
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "image_id": [f"{i}.png" for i in range(n)],
            "hair": pl.Series(rng.choice(["red", "black"], n), dtype=pl.Enum(["red", "black"])),
            "hair_margin": pl.Series(rng.random(n), dtype=pl.Float32),
        }
    )
    return frame.with_columns(hair_conflict=pl.Series(rng.random(n) < 0.3)) if conflicts else frame


@settings(deadline=None, max_examples=60)
@given(sizes, sizes, st.integers(0, 5), st.booleans())
def test_hard_rows_first_and_never_from_the_rows_kept_for_the_test(n_rows, n, seed, conflicts):
    rows = table(n_rows, seed, conflicts=conflicts)
    picked = fs.human_labels.sample(rows, "hair", n_rows=n, seed=seed)
    assert picked.height <= min(n, n_rows)
    assert picked["image_id"].is_unique().all()
    assert picked["reason"].to_physical().is_sorted()
    random = set(picked.filter(reason="random")["image_id"])
    everything = fs.human_labels.sample(rows, "hair", n_rows=10 * n_rows, seed=seed)
    kept = set(everything.filter(reason="random")["image_id"])
    assert random <= kept
    assert not kept & set(picked.filter(pl.col("reason") != "random")["image_id"])
    hard = picked.filter(reason="low_margin")
    assert hard["hair_margin"].is_sorted()
    if conflicts:
        assert picked.filter(reason="conflict")["hair_conflict"].all()
    else:
        assert picked.filter(reason="conflict").is_empty()


def test_the_low_margins_are_the_lowest_of_those_that_may_be_picked():
    rows = table(200, conflicts=False)
    picked = fs.human_labels.sample(rows, "hair", n_rows=40, seed=1)
    kept = set(fs.human_labels.sample(rows, "hair", n_rows=2000, seed=1).filter(reason="random")["image_id"])
    others = rows.filter(~pl.col("image_id").is_in(list(kept))).sort("hair_margin")
    assert picked.filter(reason="low_margin")["image_id"].to_list() == others["image_id"][:28].to_list()
    assert picked.filter(reason="random").height == 12


def test_the_random_rows_do_not_care_for_margins_and_other_rows():
    rows = table(4000)
    turned = rows.with_columns(hair_margin=1 - pl.col("hair_margin")).reverse()
    first, second = (
        fs.human_labels.sample(r, "hair", n_rows=600, seed=0).filter(reason="random") for r in (rows, turned)
    )
    assert set(first["image_id"]) == set(second["image_id"])
    more = fs.human_labels.sample(rows, "hair", n_rows=900, seed=0).filter(reason="random")
    assert set(first["image_id"]) < set(more["image_id"])
    pool = fs.human_labels.sample(rows, "hair", n_rows=40_000, seed=0).filter(reason="random")
    assert abs(pool.height / 4000 - TEST_SHARE) < 0.03
    assert abs(pool["hair_margin"].mean() - rows["hair_margin"].mean()) < 0.03
    assert set(
        fs.human_labels.sample(rows, "hair", n_rows=600, seed=1).filter(reason="random")["image_id"]
    ) != set(first["image_id"])


@pytest.mark.parametrize("conflicts", [True, False])
def test_each_call_goes_on_where_the_answers_ended_until_none_is_left(conflicts):
    rows, seen, random = table(150, conflicts=conflicts), [], []
    answered = pl.DataFrame(schema={"image_id": pl.String, "attribute": pl.String})
    for _ in range(30):
        picked = fs.human_labels.sample(rows, "hair", n_rows=30, seed=0, answered=answered)
        seen += picked["image_id"].to_list()
        random += picked.filter(reason="random")["image_id"].to_list()
        new = picked.select("image_id", attribute=pl.lit("hair"))
        answered = pl.concat([answered, new])
    assert len(seen) == len(set(seen)) == 150
    kept = fs.human_labels.sample(rows, "hair", n_rows=10_000, seed=0).filter(reason="random")["image_id"]
    assert random == kept.to_list()  # the same sample, in the same order, as if all were asked at once
    assert len(random) > 20  # what a probe is tested on


def test_answers_about_other_attributes_leave_nothing_out():
    rows = table(60)
    other = rows.select("image_id", attribute=pl.lit("eyes"))
    plain = fs.human_labels.sample(rows, "hair", n_rows=20, seed=0)
    assert fs.human_labels.sample(rows, "hair", n_rows=20, seed=0, answered=other).equals(plain)
    with pytest.raises(fs.tables.TableError, match=r"attribute.*fs.human_labels.read"):
        fs.human_labels.sample(rows, "hair", n_rows=20, seed=0, answered=rows)


def test_the_margin_of_a_promoted_probe_counts_first():
    rows = table(100, conflicts=False).with_columns(probe_hair_margin=1 - pl.col("hair_margin"))
    picked = fs.human_labels.sample(rows, "hair", n_rows=20, seed=0).filter(reason="low_margin")
    assert picked["probe_hair_margin"].is_sorted()
    assert picked["hair_margin"].min() > 0.5


def test_rows_without_a_vector_are_not_asked():
    rows = table(20).with_columns(hair_margin=pl.when(pl.int_range(20) >= 5).then("hair_margin"))
    picked = fs.human_labels.sample(rows, "hair", n_rows=20, seed=0)
    assert not set(picked["image_id"]) & {f"{i}.png" for i in range(5)}


def test_what_is_missing_is_named():
    with pytest.raises(fs.tables.TableError, match="fur_margin"):
        fs.human_labels.sample(table(5).with_columns(fur=pl.lit("x")), "fur", n_rows=3, seed=0)
    with pytest.raises(ValueError, match="n_rows must be 1 or more, got 0"):
        fs.human_labels.sample(table(5), "hair", n_rows=0, seed=0)
