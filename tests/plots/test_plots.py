from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from facestats import plots
from facestats.composites.results import Composite, Eigenfaces, GroupDifference
from facestats.core.tables import N_LANDMARKS, STATUS, TableError

if TYPE_CHECKING:
    from pathlib import Path

mpl.use("Agg")
AGE = pl.Enum(["child", "teen", "adult"])
N = 12


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crops")
    for i in range(N):
        Image.new("RGB", (64, 48 if i % 2 else 64), (20 * i, 100, 50)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 64, (N, N_LANDMARKS, 2)).astype(np.float32)
    return pl.DataFrame(
        {
            "image_id": [f"{i}.png" for i in range(N)],
            "crop": [f"{i}.png" for i in range(N)],
            "status": pl.Series(["ok"] * 8 + ["no_face"] * 3 + ["truncated"], dtype=STATUS),
            "error": [None] * 8 + ["no face was found"] * 3 + ["the picture ends early"],
            "x": rng.normal(size=N).astype(np.float32),
            "y": rng.normal(size=N).astype(np.float32),
            "cluster": pl.Series([0] * 5 + [1] * 4 + [2] * 2 + [None], dtype=pl.Int32),
            "score": rng.uniform(size=N),
            "age": pl.Series(["adult"] * 6 + ["child"] * 4 + [None] * 2, dtype=AGE),
            "text_age": pl.Series(["adult"] * 5 + ["child"] * 6 + [None], dtype=AGE),
            "age_score": [0.9] * 6 + [0.4] * 4 + [None] * 2,
            "age_probs": pl.Series([[0.05, 0.05, 0.9]] * 11 + [None], dtype=pl.Array(pl.Float32, 3)),
            "gender": ["female", "male"] * (N // 2),
            "landmarks": pl.Series(points, dtype=pl.Array(pl.Float32, (N_LANDMARKS, 2))),
            "matrix": pl.Series(
                np.tile([[1.0, 0, 0], [0, 1, 0]], (N, 1, 1)), dtype=pl.Array(pl.Float64, (2, 3))
            ),
        }
    )


def composite(value: int = 100, side: int = 32) -> Composite:
    pixels = np.full((side, side, 3), value, dtype=np.uint8)
    settings = {"where": "gender = female", "relaxed": ["age = 20"], "size": [side, side]}
    return Composite(
        pixels, np.full((side, side), 7, np.float32), None, ("a", "b"), (0.5, 0.5), "mean", settings
    )


def group_difference() -> GroupDifference:
    square = np.zeros((16, 16), dtype=np.float32)
    square[4:8, 4:8] = -9
    p = np.where(square < 0, 0.01, 1.0)
    return GroupDifference(square, square, p, ("women", "men"), (9, 8), ("a",) * 17, {})


def eigen() -> Eigenfaces:
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(3, 16, 16, 3)).astype(np.float32)
    sd = np.array([3, 2, 1], np.float32)
    return Eigenfaces(np.full((16, 16, 3), 99, np.float32), parts, sd, sd / 10, ("a", "b", "c"), {})


def stability() -> pl.DataFrame:
    columns = {"n_clusters": [2, 3], "ari": [0.5, 0.8], "ari_low": [0.4, 0.7], "ari_high": [0.6, 0.9]}
    return pl.DataFrame(columns | {"chosen": [False, True]})


def profile() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "cluster": [0, 0, 1],
            "attribute": ["age"] * 3,
            "label": ["child", "teen", "child"],
            "n": [5, 3, 1],
            "n_cluster": [8, 8, 9],
            "ratio": [4.0, 1.1, 0.2],
            "ratio_low": [2.0, 0.5, 0.1],
            "ratio_high": [8.0, 2.0, 0.9],
            "p": [0.001, 0.9, 0.04],
            "p_adjusted": [0.003, 0.9, 0.06],
        }
    )


def relations() -> pl.DataFrame:
    return pl.DataFrame(
        {"column": ["age", "coin"], "n": [12, 12], "ami": [0.4, 0.01], "chance_high": [0.1, 0.1]}
    )


CALLS = {
    "alignment_scatter": lambda t, c, ax: plots.alignment_scatter(t, ax=ax),
    "alignment_sheet": lambda t, c, ax: plots.alignment_sheet(t, c, c, n_faces=3, ax=ax),
    "cluster_sheet": lambda t, c, ax: plots.cluster_sheet(t, c, n_faces=3, ax=ax),
    "composite_grid": lambda t, c, ax: plots.composite_grid({"women": composite()}, ax=ax),
    "confusion": lambda t, c, ax: plots.confusion(t, "age", "text_age", ax=ax),
    "cooccurrence": lambda t, c, ax: plots.cooccurrence(t, ["age", "gender"], ax=ax),
    "difference_map": lambda t, c, ax: plots.difference_map(group_difference(), ax=ax),
    "eigenface_walk": lambda t, c, ax: plots.eigenface_walk(eigen(), ax=ax),
    "face_grid": lambda t, c, ax: plots.face_grid(t, c, captions="gender", ax=ax),
    "face_map": lambda t, c, ax: plots.face_map(t, ax=ax),
    "failure_sheet": lambda t, c, ax: plots.failure_sheet(t, c, ax=ax),
    "histogram": lambda t, c, ax: plots.histogram(t, "score", by="gender", ax=ax),
    "label_bars": lambda t, c, ax: plots.label_bars(t, "age", by="gender", ax=ax),
    "probability_bars": lambda t, c, ax: plots.probability_bars(t.head(1), "age", ax=ax),
    "profile_bars": lambda t, c, ax: plots.profile_bars(profile(), 0, ax=ax),
    "relation_bars": lambda t, c, ax: plots.relation_bars(relations(), ax=ax),
    "score_histogram": lambda t, c, ax: plots.score_histogram(t, "age", threshold=0.5, ax=ax),
    "stability_curve": lambda t, c, ax: plots.stability_curve(stability(), ax=ax),
    "status_bars": lambda t, c, ax: plots.status_bars(t, ax=ax),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_plot_draws_on_the_axes_it_is_given_or_makes_one(name: str, table: pl.DataFrame, crops: Path):
    ax = plt.subplots()[1]
    before = table.clone()
    assert CALLS[name](table, crops, ax) is ax
    assert ax.has_data()
    own = CALLS[name](table, crops, None)
    assert own is not ax
    own.figure.canvas.draw()  # nothing warns, nothing fails
    assert table.equals(before)


def test_all_plots_are_offered():
    assert set(CALLS) <= set(plots.__all__)


NO_TABLE = {
    "composite_grid",
    "difference_map",
    "eigenface_walk",
    "stability_curve",
    "profile_bars",
    "relation_bars",
}


@pytest.mark.parametrize("name", sorted(set(CALLS) - NO_TABLE))
def test_a_table_without_rows_is_drawn_and_says_so(name: str, table: pl.DataFrame, crops: Path):
    if name in {"probability_bars"}:
        pytest.skip("shows one face and refuses any other number")
    empty = table.clear()
    ax = CALLS[name](empty, crops, None)
    ax.figure.canvas.draw()
    said = [t.get_text() for t in ax.texts] + [ax.get_title(loc="left")]
    assert any(word in text for text in said for word in ("n = 0", "no ", "0 of 0", "0 clusters")), said


NOTHING = {
    "composite_grid": (lambda: plots.composite_grid({}), "no average faces"),
    "stability_curve": (lambda: plots.stability_curve(stability().clear()), "too few faces"),
    "profile_bars": (lambda: plots.profile_bars(profile().clear(), 0), "no clusters"),
    "label_bars": (
        lambda: plots.label_bars(pl.DataFrame({"a": ["x", "y"], "g": [None, None]}), "a", by="g"),
        "no labels",
    ),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_to_draw_is_a_line_of_text(name: str):
    draw, said = NOTHING[name]
    ax = draw()
    ax.figure.canvas.draw()
    assert said in ax.texts[0].get_text()


def test_a_column_without_two_values_has_a_line_of_text_for_a_bar():
    unknown = pl.DataFrame({"column": ["dress"], "n": [0], "ami": [None], "chance_high": [None]})
    table = pl.concat([unknown.cast({"ami": pl.Float64, "chance_high": pl.Float64}), relations()])
    ax = plots.relation_bars(table)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["age (n = 12)", "coin (n = 12)", "dress (n = 0)"]
    assert [p.get_width() for p in ax.patches] == [0.4, 0.01]
    assert ax.texts[0].get_position() == (0, 2)
    plots.relation_bars(table.head(1)).figure.canvas.draw()


@pytest.mark.parametrize("name", sorted(set(CALLS) - NO_TABLE))
def test_a_missing_column_is_named(name: str, table: pl.DataFrame, crops: Path):
    with pytest.raises(TableError, match="has no column"):
        CALLS[name](table.select("image_id"), crops, None)


def test_map_has_one_collection_per_value_at_the_places_of_its_faces(table: pl.DataFrame):
    ax = plots.face_map(table, "age", names={"adult": "grown up"})
    labels = [t.get_text() for t in ax.get_legend().get_texts()]
    assert labels == ["missing (2)", "child (4)", "grown up (6)"]  # in the order of the options
    offsets = ax.collections[1].get_offsets()
    assert np.allclose(offsets, table.filter(age="child").select("x", "y").to_numpy())
    assert [t.get_text() for t in ax.texts] == ["grown up"]
    assert "n = 12" in ax.get_title(loc="left")


def test_map_of_numbers_has_a_colour_bar(table: pl.DataFrame):
    ax = plots.face_map(table, "score")
    assert len(ax.figure.axes) == 2
    assert ax.get_legend() is None
    assert np.allclose(ax.collections[0].get_array(), table["score"])


def test_map_leaves_out_what_has_no_place(table: pl.DataFrame):
    gone = table.with_columns(x=pl.when(pl.int_range(pl.len()) < 3).then(None).otherwise("x"))
    assert "n = 9" in plots.face_map(gone).get_title(loc="left")


def test_large_maps_are_rasterised():
    n = 50_001
    big = pl.DataFrame({"x": np.zeros(n, np.float32), "y": np.zeros(n, np.float32), "cluster": [0] * n})
    assert plots.face_map(big).collections[0].get_rasterized()
    assert not plots.face_map(big.head(100)).collections[0].get_rasterized()


def test_map_with_many_values_groups_the_rare_ones():
    many = pl.DataFrame(
        {"x": np.arange(40.0), "y": np.arange(40.0), "name": [f"n{i:02d}" for i in range(40)]}
    )
    labels = [t.get_text() for t in plots.face_map(many, "name").get_legend().get_texts()]
    assert len(labels) == 25
    assert labels[-1] == "16 other values (16)"
    looks = {
        (to_hex(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes())
        for c in plots.face_map(many, "name").collections[:-1]
    }
    assert len(looks) == 24


def test_grid_shows_crops_in_order_and_grey_where_there_is_none(table: pl.DataFrame, crops: Path):
    gaps = table.with_columns(crop=pl.when(pl.int_range(pl.len()) == 1).then(None).otherwise("crop"))
    ax = plots.face_grid(gaps, crops, n_columns=4, captions="gender", n_faces=6)
    sheet = np.asarray(ax.images[0].get_array())
    tile = sheet.shape[1] // 4
    assert sheet[40, 40].tolist() == [0, 100, 50]
    assert sheet[40, tile + 40].tolist() == [225] * 3
    assert sheet[40, 2 * tile + 40].tolist() == [40, 100, 50]
    assert [t.get_text() for t in ax.texts] == ["female", "male"] * 3
    assert ax.get_title(loc="left") == "6 of 12"


def test_cluster_sheet_has_a_row_per_cluster_and_says_how_many(table: pl.DataFrame, crops: Path):
    named = table.with_columns(cluster_name=pl.lit("young, smiling"))
    ax = plots.cluster_sheet(named, crops, n_faces=3)
    texts = [t.get_text() for t in ax.texts]
    assert texts == [f"cluster {i}\nyoung, smiling\nn = {n}" for i, n in enumerate((5, 4, 2))]


def test_status_bars_count(table: pl.DataFrame):
    ax = plots.status_bars(table)
    assert [p.get_width() for p in ax.patches] == [8, 3, 1]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["ok", "no_face", "truncated"]
    colors = [to_hex(p.get_facecolor()) for p in ax.patches]
    assert colors[0] != colors[1] == colors[2]


def test_failure_sheet_groups_by_status_and_opens_only_what_could_be_decoded(
    table: pl.DataFrame, crops: Path
):
    ax = plots.failure_sheet(table, crops)
    texts = [t.get_text() for t in ax.texts]
    assert texts[-2:] == ["no_face\nn = 3", "truncated\nn = 1"]
    assert texts[0].startswith("8.png\nno face was found")
    sheet = np.asarray(ax.images[0].get_array())
    assert sheet[60, 60].tolist() == [160, 100, 50]
    assert sheet[sheet.shape[0] // 2 + 60, 60].tolist() == [225] * 3  # truncated: not opened again
    none = plots.failure_sheet(table.head(8), crops)
    assert "no failures among 8" in none.texts[0].get_text()


def test_alignment_scatter_applies_the_matrix(table: pl.DataFrame):
    template = {"nose tip": np.array([[30, 40]])}
    ax = plots.alignment_scatter(table, size=64, template=template)
    nose = ax.collections[3].get_offsets()
    assert np.allclose(nose, table["landmarks"].to_numpy()[:, 1])
    assert np.allclose(ax.collections[4].get_offsets(), [[30, 40]])
    assert ax.get_ylim() == (64, 0)


def test_label_bars_show_shares_with_wilson_intervals(table: pl.DataFrame):
    from facestats.core.stats import wilson_interval

    ax = plots.label_bars(table, "age")
    assert [p.get_width() for p in ax.patches] == [0.4, 0, 0.6]
    low, high = wilson_interval([4, 0, 6], [10, 10, 10])
    ends = np.array([s[:, 0] for s in ax.collections[0].get_segments()])
    assert np.allclose(ends, np.column_stack([low, high]))
    assert "n = 10, 2 without a label" in ax.get_title(loc="left")
    by = plots.label_bars(table, "age", by="gender")
    assert [t.get_text() for t in by.get_legend().get_texts()] == ["female (n = 5)", "male (n = 5)"]


def test_probability_bars_of_one_face(table: pl.DataFrame):
    ax = plots.probability_bars(table.head(1), "age")
    assert [p.get_width() for p in ax.patches] == pytest.approx([0.05, 0.05, 0.9])
    assert "no label" in plots.probability_bars(table.tail(1), "age").texts[0].get_text()
    with pytest.raises(ValueError, match="one face, got 12 rows"):
        plots.probability_bars(table, "age")


def test_histogram_counts_every_number(table: pl.DataFrame):
    assert sum(p.get_height() for p in plots.histogram(table, "score").patches) == N
    whole = plots.histogram(pl.DataFrame({"age": [18, 19, 19, 54, None]}), "age")
    assert sum(p.get_height() for p in whole.patches) == 4
    assert {round(p.get_width(), 6) for p in whole.patches} == {1.0}
    assert "1 missing" in whole.get_title(loc="left")
    with pytest.raises(ValueError, match="no numbers"):
        plots.histogram(table, "gender")


def test_score_histogram_says_what_a_threshold_keeps(table: pl.DataFrame):
    ax = plots.score_histogram(table, "age", threshold=0.5)
    assert ax.texts[0].get_text() == "60% kept"


def test_confusion_counts_agreement_and_kappa(table: pl.DataFrame):
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


def test_composites_say_what_they_are_and_what_was_relaxed():
    ax = plots.composite_grid({"women": composite(90), "men": composite(30)})
    assert ax.texts[0].get_text() == "women\nmean, n = 2\ngender = female\nrelaxed: age = 20"
    sheet = np.asarray(ax.images[0].get_array())
    assert sheet[10, 10].tolist() == [90] * 3
    assert sheet[10, -10].tolist() == [30] * 3
    spread = plots.composite_grid({"women": composite()}, layer="sd").images[0].get_array()
    assert spread[10, 10] == 7
    with pytest.raises(ValueError, match="differ in size"):
        plots.composite_grid({"a": composite(), "b": composite(side=16)})


def test_difference_map_is_symmetric_about_zero_and_outlines_what_is_sure():
    ax = plots.difference_map(group_difference())
    assert ax.images[0].get_clim() == (-9, 9)
    assert "women (n = 9) minus men (n = 8)" in ax.get_title(loc="left")
    assert "6% of pixels" in ax.get_xlabel()


def test_walk_has_a_row_per_component_and_the_mean_in_the_middle():
    ax = plots.eigenface_walk(eigen(), n_components=2, steps=(-2, 0, 2))
    texts = [t.get_text() for t in ax.texts]
    assert texts[:3] == ["-2 SD", "mean", "+2 SD"]
    assert texts[-1].startswith("component 1")
    assert np.asarray(ax.images[0].get_array())[4, 16 + 8].tolist() == [99] * 3


def test_profile_fills_what_is_sure_only():
    ax = plots.profile_bars(profile(), 0)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["age: teen (3)", "age: child (5)"]
    faces = [to_hex(line.get_markerfacecolor()) for line in ax.lines if line.get_marker() == "o"]
    assert faces[0] == "#ffffff" != faces[1]
    with pytest.raises(ValueError, match="no cluster 7"):
        plots.profile_bars(profile(), 7)


def test_curve_marks_the_chosen_number():
    ax = plots.stability_curve(stability())
    assert "suggested: 3" in ax.get_title(loc="left")
    assert ax.collections[-1].get_offsets().tolist() == [[3, 0.8]]


def curves(zero_shot=0.7):
    band = {"zero_shot": zero_shot, "zero_shot_low": zero_shot and 0.65, "zero_shot_high": zero_shot and 0.75}
    points = [(25, 0.6, 0.5, 0.7), (50, 0.7, 0.62, 0.78), (160, 0.8, 0.75, 0.85)]
    rows = [
        {"attribute": "age", "n_labels": n, "accuracy": a, "low": lo, "high": hi, **band}
        for n, a, lo, hi in points
    ]
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(band, pl.Float64))


def test_learning_curve_shows_the_probe_with_intervals_and_the_prompts_across():
    ax = plt.subplots()[1]
    assert plots.learning_curve(curves(), "age", ax=ax) is ax
    probe, intervals = ax.containers[0].lines[0], ax.containers[0].lines[2][0]
    assert probe.get_xdata().tolist() == [25, 50, 160]
    assert probe.get_ydata().tolist() == [0.6, 0.7, 0.8]
    assert np.allclose([s[:, 1] for s in intervals.get_segments()], [[0.5, 0.7], [0.62, 0.78], [0.75, 0.85]])
    names = ax.get_legend_handles_labels()[1]
    assert sorted(names) == ["probe", "prompts"]
    assert "160" in ax.get_title(loc="left")


def test_learning_curve_without_prompts_draws_none_and_other_attributes_are_refused():
    ax = plots.learning_curve(curves(None), "age")
    assert ax.get_legend_handles_labels()[1] == ["probe"]
    with pytest.raises(ValueError, match=r"no probe was fitted for 'dress'; there are \['age'\]"):
        plots.learning_curve(curves(), "dress")


def test_gain_bars_fill_what_is_promoted_and_count_what_cannot_be_compared():
    report = pl.DataFrame(
        {
            "attribute": ["age", "dress", "eyes"],
            "n_tested": [100, 90, 80],
            "gain": [0.1, -0.02, None],
            "gain_low": [0.05, -0.05, None],
            "gain_high": [0.15, 0.01, None],
            "promoted": [True, False, False],
        }
    )
    ax = plt.subplots()[1]
    assert plots.gain_bars(report, ax=ax) is ax
    marks = {line.get_xdata()[0]: line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"}
    assert marks[-0.02] == "white"
    assert marks[0.1] != "white"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["dress (n = 90)", "age (n = 100)"]
    assert "1 of 2 promoted, 1 without" in ax.get_title(loc="left")
    assert plots.gain_bars(report.head(0)).lines
