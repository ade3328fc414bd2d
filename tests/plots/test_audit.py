import numpy as np
import polars as pl

from facestats import plots


def audit_table():
    rows = [
        ("all", "merged", "all", "all", 20, 0.9, None),
        ("all", "merged", "gender", "male", 12, 0.95, 0.5),
        ("all", "merged", "gender", "female", 8, 0.8, 0.01),
        ("all", "merged", "gender+ethnicity", "male, Asian", 3, 0.8, 0.9),
    ]
    table = pl.DataFrame(
        rows, schema=["attribute", "source", "by", "group", "n", "accuracy", "p_adjusted"], orient="row"
    )
    return table.with_columns(accuracy_low=pl.col("accuracy") - 0.1, accuracy_high=pl.col("accuracy") + 0.05)


def known(n=40):
    rng = np.random.default_rng(0)
    probs = rng.dirichlet([1, 1, 1], n).astype(np.float32)
    kind = pl.Enum(["a", "b", "c"])
    truth = ["abc"[i] for i in probs.argmax(axis=1)]
    return pl.DataFrame(
        {
            "x_probs": pl.Series(probs, dtype=pl.Array(pl.Float32, 3)),
            "true_x": pl.Series([*truth[:-2], "a", None], dtype=kind),
        }
    )


def test_groups_of_single_attributes_are_shown_and_combinations_on_request():
    ax = plots.group_bars(audit_table())
    assert [t.get_text() for t in ax.get_yticklabels()] == ["male (n = 12)", "female (n = 8)"]
    assert "n = 20" in ax.get_title(loc="left")
    ax = plots.group_bars(audit_table(), by="gender+ethnicity")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["male, Asian (n = 3)"]


def test_curves_draw_on_the_given_axes_and_count_rows_with_truth():
    for draw in (plots.calibration_curve, plots.coverage_curve):
        ax = plots.histogram(pl.DataFrame({"v": [1.0]}), "v").figure.add_subplot()
        assert draw(known(), "x", ax=ax) is ax
        assert ax.get_title(loc="left") == "x, n = 39"
        assert "n = 0" in draw(known().clear(), "x").get_title(loc="left")
    assert len(plots.calibration_curve(known(), "x", temperature=2.0).get_legend().texts) == 2


def flips():
    return pl.DataFrame(
        {
            "attribute": ["age", "age"],
            "prompt": ["a photo of {}.", "of a very old person " * 5],
            "n": [10, 10],
            "flips": [0.1, 0.3],
            "low": [0.0, 0.1],
            "high": [0.2, 0.5],
        }
    )


def test_an_audit_without_rows_is_a_sentence():
    ax = plots.group_bars(audit_table().clear())
    assert ax.get_title(loc="left") == "all attributes, merged labels, n = 0"
    assert "no groups" in ax.texts[0].get_text()
    only_all = plots.group_bars(audit_table().head(1))
    assert "n = 20" in only_all.get_title(loc="left")
    assert "no groups" in only_all.texts[0].get_text()


def test_flips_start_with_the_most_changeable():
    table = flips()
    names = [t.get_text() for t in plots.flip_bars(table).get_yticklabels()]
    assert names[1] == "age: a photo of {}."
    assert " ".join(names[0].split()) == f"age: {table['prompt'][1].strip()}", "wrapped, not cut"
    assert max(len(line) for line in names[0].splitlines()) < 60
    assert plots.flip_bars(table).get_title(loc="left") == "n = 10 labels each"
    different = table.with_columns(n=pl.Series([10, 7]))
    assert plots.flip_bars(different).get_title(loc="left") == "n = 7 to 10 labels"
    assert (
        plots.flip_bars(table.rename({"prompt": "variant"}), n_bars=1)
        .get_xlabel()
        .startswith("labels that change in")
    )
