"""Shares of texts count what is said, and disagreement what both say."""

import polars as pl
import pytest

from facestats import plots
from facestats.core.tables import TableError

TABLE = pl.DataFrame(
    {
        "image_age": ["child", "adult", "adult", None],
        "text_age": ["child", "child", None, "adult"],
        "text_age_score": [0.9, 0.8, 0.2, 0.9],
        "text_age_probs": [[0.1, 0.9]] * 4,
    }
)


def test_the_share_of_texts_that_say_an_attribute():
    ax = plots.text_coverage_bars(TABLE)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["age (3 of 4)"]
    assert [p.get_width() for p in ax.patches] == [0.75]


def test_disagreement_is_counted_among_faces_with_both_labels():
    ax = plots.disagreement_bars(TABLE, image="image_")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["age (1 of 2)"]
    assert [p.get_width() for p in ax.patches] == [0.5]


def test_unknown_attributes_are_named_with_those_there_are():
    with pytest.raises(TableError, match=r"no text labels of \['dress'\]; it has those of \['age'\]"):
        plots.text_coverage_bars(TABLE, ["dress"])
