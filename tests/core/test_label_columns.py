"""The four columns of an attribute, and what is taken from them."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import facestats as fs
from facestats.core.label_columns import label_columns, label_names, spread_rows


@st.composite
def probabilities(draw):
    """Probabilities of 1 to 5 options for 0 to 6 rows, (n, n_options) float64."""
    n, n_options = draw(st.integers(0, 6)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return rng.dirichlet(np.ones(n_options), size=n)


def make(probs, **options):
    names = [f"o{i}" for i in range(probs.shape[1])]
    return names, pl.DataFrame(label_columns("age", names, probs, **options))


@given(probabilities())
def test_names_types_and_shapes(probs):
    names, frame = make(probs)
    assert frame.schema == {
        "age": pl.Enum(names),
        "age_score": pl.Float32,
        "age_margin": pl.Float32,
        "age_probs": pl.Array(pl.Float32, len(names)),
    }
    assert frame.height == len(probs)
    assert frame.null_count().sum_horizontal().item() == 0


@given(probabilities())
def test_the_label_is_the_most_probable_option_and_the_margin_its_lead(probs):
    names, frame = make(probs)
    assert frame["age"].to_list() == [names[i] for i in probs.argmax(axis=1)]
    np.testing.assert_array_equal(frame["age_probs"].to_numpy(), probs.astype(np.float32))
    np.testing.assert_allclose(frame["age_score"].to_numpy(), probs.max(axis=1), rtol=1e-6)
    others = [np.delete(row, row.argmax()).max(initial=0) for row in probs]
    np.testing.assert_allclose(frame["age_margin"].to_numpy(), probs.max(axis=1) - others, atol=1e-6)


def test_the_margin_of_one_option_is_its_probability():
    _, frame = make(np.array([[0.25], [1.0]]))
    assert frame["age_margin"].to_list() == frame["age_score"].to_list() == [0.25, 1.0]


def test_the_first_of_equal_options_is_the_label():
    names, frame = make(np.array([[0.5, 0.5]]))
    assert (frame["age"].to_list(), frame["age_margin"].to_list()) == (names[:1], [0.0])


def test_another_score_replaces_the_probability():
    _, frame = make(np.array([[0.75, 0.25]]), score=np.array([0.125]))
    assert frame.select("age_score", "age_margin").row(0) == (0.125, 0.5)


@given(probabilities(), st.integers(0, 99), st.sampled_from(["label", "score", "margin", "probs"]))
def test_rows_become_null_in_the_part_that_is_named_and_in_no_other(probs, seed, part):
    where = np.random.default_rng(seed).random(len(probs)) < 0.5
    _, whole = make(probs)
    _, frame = make(probs, nulls={part: where})
    column = "age" if part == "label" else f"age_{part}"
    assert frame[column].is_null().to_list() == where.tolist()
    assert frame.schema == whole.schema
    assert frame.drop(column).equals(whole.drop(column))
    assert frame.filter(~pl.Series(where, dtype=pl.Boolean)).equals(
        whole.filter(~pl.Series(where, dtype=pl.Boolean))
    )


@given(st.lists(st.booleans()))
def test_values_are_spread_over_the_rows_that_are_present(present):
    values = pl.Series("x", range(sum(present)), dtype=pl.Int64)
    [spread] = spread_rows([values], pl.Series(present, dtype=pl.Boolean))
    assert spread.name == "x"
    assert spread.is_not_null().to_list() == present
    assert spread.drop_nulls().equals(values)


def test_labels_are_found_by_their_columns_and_probes_of_the_same_attribute_left_out():
    columns = [f"{a}{end}" for a in ("age", "probe_age", "probe_mood") for end in ("", "_score", "_probs")]
    frame = pl.DataFrame(schema=dict.fromkeys(["image_id", "hair", "hair_score", *columns], pl.Float32))
    assert label_names(frame) == label_names(frame.lazy()) == ["age", "probe_mood"]


@given(st.floats(0, 1))
def test_low_scores_are_masked_and_all_rows_stay(threshold):
    df = pl.DataFrame({"age": ["x", "y", None], "age_score": [0.2, 0.9, None]})
    kept = fs.attributes.mask_low_scores(df, threshold)
    assert kept.height == 3
    assert kept["age"].is_not_null().to_list() == [threshold <= 0.2, threshold <= 0.9, False]


def test_an_attribute_without_scores_and_an_impossible_threshold_are_refused():
    df = pl.DataFrame({"age": ["x"], "age_score": [0.2]})
    with pytest.raises(
        fs.tables.TableError, match=r"no labels with scores for \['hair'\]; the table has them for \['age'\]"
    ):
        fs.attributes.mask_low_scores(df, 0.5, attributes=["hair"])
    with pytest.raises(ValueError, match="between 0 and 1, got 3"):
        fs.attributes.mask_low_scores(df, 3)
