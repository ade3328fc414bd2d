"""What holds for every plot: it draws on the given axes, bears an empty table, and names a missing column."""

import matplotlib.pyplot as plt
import polars as pl
import pytest
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

import facestats as fs
from facestats import plots
from facestats.core.shown_text import visible
from facestats.core.tables import TableError
from tests.hostile_names import HOSTILE_NAMES
from tests.plots import test_audit, test_probes, test_ratings, test_schematics, test_texts
from tests.plots.samples import composite, eigen, group_difference, profile, relations, stability

CALLS = {
    "alignment_scatter": lambda t, c, ax: plots.alignment_scatter(t, ax=ax),
    "alignment_sheet": lambda t, c, ax: plots.alignment_sheet(t, c, c, n_faces=3, ax=ax),
    "calibration_curve": lambda t, c, ax: plots.calibration_curve(test_audit.known(), "x", ax=ax),
    "cluster_sheet": lambda t, c, ax: plots.cluster_sheet(t, c, n_faces=3, ax=ax),
    "composite_grid": lambda t, c, ax: plots.composite_grid({"women": composite()}, ax=ax),
    "confusion": lambda t, c, ax: plots.confusion(t, "age", "text_age", ax=ax),
    "cooccurrence": lambda t, c, ax: plots.cooccurrence(t, ["age", "gender"], ax=ax),
    "coverage_curve": lambda t, c, ax: plots.coverage_curve(test_audit.known(), "x", ax=ax),
    "data_flow": lambda t, c, ax: plots.data_flow(test_schematics.tables(), ax=ax),
    "difference_map": lambda t, c, ax: plots.difference_map(group_difference(), ax=ax),
    "disagreement_bars": lambda t, c, ax: plots.disagreement_bars(test_texts.TABLE, image="image_", ax=ax),
    "eigenface_walk": lambda t, c, ax: plots.eigenface_walk(eigen(), ax=ax),
    "face_grid": lambda t, c, ax: plots.face_grid(t, c, captions="gender", ax=ax),
    "face_map": lambda t, c, ax: plots.face_map(t, ax=ax),
    "failure_sheet": lambda t, c, ax: plots.failure_sheet(t, c, ax=ax),
    "flip_bars": lambda t, c, ax: plots.flip_bars(test_audit.flips(), ax=ax),
    "gain_bars": lambda t, c, ax: plots.gain_bars(test_probes.report(), ax=ax),
    "group_bars": lambda t, c, ax: plots.group_bars(test_audit.audit_table(), ax=ax),
    "histogram": lambda t, c, ax: plots.histogram(t, "score", by="gender", ax=ax),
    "label_bars": lambda t, c, ax: plots.label_bars(t, "age", by="gender", ax=ax),
    "learning_curve": lambda t, c, ax: plots.learning_curve(test_probes.curves(), "age", ax=ax),
    "module_map": lambda t, c, ax: plots.module_map(fs.schematics.list_modules(), ax=ax),
    "probability_bars": lambda t, c, ax: plots.probability_bars(t.head(1), "age", ax=ax),
    "profile_bars": lambda t, c, ax: plots.profile_bars(profile(), 0, ax=ax),
    "rater_bars": lambda t, c, ax: plots.rater_bars(test_ratings.EFFECTS, ax=ax),
    "rating_scatter": lambda t, c, ax: plots.rating_scatter(test_ratings.HELD_OUT, ax=ax),
    "relation_bars": lambda t, c, ax: plots.relation_bars(relations(), ax=ax),
    "reliability_bars": lambda t, c, ax: plots.reliability_bars(test_ratings.RELIABILITY, ax=ax),
    "residual_bars": lambda t, c, ax: plots.residual_bars(test_ratings.RESIDUALS, ax=ax),
    "score_histogram": lambda t, c, ax: plots.score_histogram(t, "age", threshold=0.5, ax=ax),
    "stability_curve": lambda t, c, ax: plots.stability_curve(stability(), ax=ax),
    "status_bars": lambda t, c, ax: plots.status_bars(t, ax=ax),
    "text_coverage_bars": lambda t, c, ax: plots.text_coverage_bars(test_texts.TABLE, ax=ax),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_plot_draws_on_the_axes_it_is_given_or_makes_one(name, table, crops):
    ax = plt.subplots()[1]
    before = table.clone()
    assert CALLS[name](table, crops, ax) is ax
    assert ax.has_data()
    own = CALLS[name](table, crops, None)
    assert own is not ax
    own.figure.canvas.draw()  # nothing warns, nothing fails
    assert table.equals(before)


def drawn_texts(figure):
    """All texts of a figure, but the numbers on the axes, for which matplotlib may use formulas of its own."""
    named = (FixedFormatter, FuncFormatter)
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    numbers = [axis for axis in axes if not isinstance(axis.get_major_formatter(), named)]
    return set(figure.findobj(Text)) - {t for a in numbers for t in a.findobj(Text) if t is not a.label}


@pytest.mark.parametrize("name", CALLS)
def test_no_text_of_a_plot_is_taken_for_a_formula(name, table, crops):
    figure = CALLS[name](table, crops, None).figure
    figure.canvas.draw()
    formulas = [t.get_text() for t in drawn_texts(figure) if t.get_text() and t.get_parse_math()]
    assert formulas == []


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")  # no font has every letter
@pytest.mark.parametrize("name", sorted(HOSTILE_NAMES))
def test_plots_that_show_names_draw_any_name(name, table, crops):
    t = table.with_columns(pl.lit(name).alias("image_id"), error=pl.lit(name), caption=pl.lit(name))
    failed = t.with_columns(status=pl.lit("corrupt"), crop=pl.lit(None, dtype=pl.String))
    for ax in (
        plots.failure_sheet(failed, crops),
        plots.alignment_sheet(t, crops, crops, n_faces=2),
        plots.face_grid(t, crops, captions="caption", n_faces=2),
        plots.face_map(t.with_columns(cluster_name=pl.lit(name)), "caption"),
        plots.probability_bars(t.head(1), "age"),
    ):
        ax.figure.canvas.draw()
        assert not any(
            "\t" in t.get_text() or visible(t.get_text()) != t.get_text() for t in ax.figure.findobj(Text)
        )


def test_every_public_plot_is_called_here():
    assert sorted(CALLS) == sorted(plots.__all__), "list each plot in CALLS"


# those that draw a table of faces; the others have a sample of their own
OF_FACES = {
    "alignment_scatter",
    "alignment_sheet",
    "cluster_sheet",
    "confusion",
    "cooccurrence",
    "face_grid",
    "face_map",
    "failure_sheet",
    "histogram",
    "label_bars",
    "probability_bars",
    "score_histogram",
    "status_bars",
}


@pytest.mark.parametrize("name", sorted(OF_FACES))
def test_a_table_without_rows_is_drawn_and_says_so(name, table, crops):
    if name in {"probability_bars"}:
        pytest.skip("shows one face and refuses any other number")
    empty = table.clear()
    ax = CALLS[name](empty, crops, None)
    ax.figure.canvas.draw()
    said = [t.get_text() for t in ax.texts] + [ax.get_title(loc="left")]
    assert any(word in text for text in said for word in ("n = 0", "no ", "0 of 0", "0 clusters")), said


@pytest.mark.parametrize("rows", ["one", "alike"])
@pytest.mark.parametrize("name", sorted(OF_FACES))
def test_one_face_and_faces_that_are_all_alike_are_drawn(name, rows, table, crops):
    first = table.drop_nulls("crop").head(1)
    few = first if rows == "one" or name == "probability_bars" else pl.concat([first] * 5)
    CALLS[name](few, crops, None).figure.canvas.draw()


def test_clusters_of_which_one_is_left_are_drawn():
    plots.stability_curve(stability().filter("chosen")).figure.canvas.draw()
    plots.profile_bars(profile().filter(cluster=1), 1).figure.canvas.draw()
    nothing = relations().with_columns(
        pl.lit(None, dtype=pl.Float64).alias(c) for c in ("ami", "chance_high")
    )
    for rows in (relations().head(1), nothing):
        plots.relation_bars(rows).figure.canvas.draw()


NOTHING = {
    "composite_grid": (lambda: plots.composite_grid({}), "no average faces"),
    "stability_curve": (lambda: plots.stability_curve(stability().clear()), "too few faces"),
    "profile_bars": (lambda: plots.profile_bars(profile().clear(), 0), "no clusters"),
    "relation_bars": (lambda: plots.relation_bars(relations().clear()), "no columns"),
    "group_bars": (lambda: plots.group_bars(test_audit.audit_table().clear()), "no groups"),
    "gain_bars": (lambda: plots.gain_bars(test_probes.report().clear()), "too few human labels"),
    "flip_bars": (lambda: plots.flip_bars(test_audit.flips().clear()), "no prompt"),
    "label_bars": (
        lambda: plots.label_bars(pl.DataFrame({"a": ["x", "y"], "g": [None, None]}), "a", by="g"),
        "no labels",
    ),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_to_draw_is_a_line_of_text(name):
    draw, said = NOTHING[name]
    ax = draw()
    ax.figure.canvas.draw()
    assert said in ax.texts[0].get_text()


@pytest.mark.parametrize("name", sorted(OF_FACES))
def test_a_missing_column_is_named(name, table, crops):
    with pytest.raises(TableError, match="has no column"):
        CALLS[name](table.select("image_id"), crops, None)
