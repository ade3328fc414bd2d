import numpy as np
import polars as pl
import pytest

from facestats import plots

RELIABILITY = pl.DataFrame(
    {
        "trait": ["calm", "calm"],
        "measure": ["icc_2_1", "ceiling"],
        "value": [0.3, 0.9],
        "low": [0.2, 0.85],
        "high": [0.4, 0.95],
        "n_faces": [40, 40],
        "n_raters": [9, 9],
    }
)
EFFECTS = pl.DataFrame(
    {
        "rater_id": ["b", "a", "never"],
        "severity": [0.5, -0.5, 0.0],
        "severity_low": [0.2, -0.8, -0.3],
        "severity_high": [0.8, -0.2, 0.3],
        "agreement": [0.5, 0.6, None],
        "agreement_low": [0.3, 0.4, None],
        "agreement_high": [0.7, 0.8, None],
    }
)
HELD_OUT = pl.DataFrame({"rating": [1.0, 2, 3], "predicted": [1.5, 2, 2.5]})
RESIDUALS = pl.DataFrame(
    {"group": ["x", "y"], "n": [10, 1], "residual": [0.1, 0.2], "low": [0.0, None], "high": [0.2, None]}
)


def labels(ax):
    return [t.get_text() for t in ax.get_yticklabels()]


def test_reliability_names_measures_and_counts():
    ax = plots.reliability_bars(RELIABILITY)
    assert labels(ax) == ["ICC(2,1), one rater", "ceiling of any prediction"]
    assert ax.get_title(loc="left") == "calm, 40 faces, 9 raters"
    with pytest.raises(ValueError, match="one trait can be shown"):
        plots.reliability_bars(pl.concat([RELIABILITY, RELIABILITY.with_columns(trait=pl.lit("x"))]))


def test_raters_come_in_order_and_those_without_a_value_are_left_out():
    assert labels(plots.rater_bars(EFFECTS)) == ["a", "never", "b"]
    assert labels(plots.rater_bars(EFFECTS, "agreement")) == ["b", "a"]


def test_the_scatter_says_where_the_prediction_lies():
    scores = pl.DataFrame(
        {
            "measure": ["single_rater", "r", "ceiling"],
            "value": [0.3, 0.6, 0.9],
            "low": [None, 0.5, None],
            "high": [None, 0.7, None],
        }
    )
    ax = plots.rating_scatter(HELD_OUT, skill=scores)
    assert "r = 0.60 [0.50, 0.70]" in ax.get_title(loc="left")
    assert np.array_equal(ax.lines[1].get_xdata(), [1.5, 2, 2.5])


def test_residuals_say_how_many_faces():
    assert labels(plots.residual_bars(RESIDUALS)) == ["x (n = 10)", "y (n = 1)"]


def test_titles_name_the_trait_and_say_whether_groups_are_true_or_perceived():
    titles = {
        by: plots.residual_bars(RESIDUALS, trait="calm", by=by).get_title(loc="left")
        for by in ("true_age", "age")
    }
    assert titles == {"true_age": "calm by true age, n = 11", "age": "calm by perceived age, n = 11"}
    assert plots.rating_scatter(HELD_OUT, trait="calm").get_title(loc="left") == "calm, n = 3"
    calm = EFFECTS.with_columns(trait=pl.lit("calm"))
    assert plots.rater_bars(calm).get_title(loc="left") == "calm: severity, 3 raters"
