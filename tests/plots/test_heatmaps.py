"""Two columns against each other."""

import numpy as np
import polars as pl
import pytest

from facestats import plots


def test_confusion_counts_agreement_and_kappa(table):
    ax = plots.confusion(table, "age", "text_age")
    counts = np.array([int(t.get_text()) for t in ax.texts]).reshape(3, 3)
    assert counts.tolist() == [[4, 0, 0], [0, 0, 0], [1, 0, 5]]
    assert "agreement 90%, Cohen's kappa 0.80" in ax.get_title(loc="left")
    assert np.allclose(ax.images[0].get_array()[2], [1 / 6, 0, 5 / 6])


def test_cooccurrence_is_signed_and_blank_where_chance_rules():
    pairs = pl.DataFrame(
        {"a": ["x"] * 50 + ["y"] * 50, "b": ["p"] * 40 + ["q"] * 20 + ["p"] * 10 + ["q"] * 30}
    )
    lift = plots.cooccurrence(pairs, ["a", "b"]).images[0].get_array()
    assert lift[0, 2] > 0 > lift[0, 3]
    assert np.allclose(lift.filled(np.nan), lift.filled(np.nan).T, equal_nan=True)
    assert np.isnan(np.ma.filled(lift, np.nan)[0, :2]).all()
    blank = plots.cooccurrence(pairs, ["a", "b"], min_count=30).images[0].get_array()
    assert np.isnan(np.ma.filled(blank, np.nan)).all()
    with pytest.raises(ValueError, match="two or more"):
        plots.cooccurrence(pairs, ["a"])
