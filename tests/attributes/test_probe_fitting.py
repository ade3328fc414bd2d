import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import facestats as fs
from facestats.attributes.probe_fitting import (
    MIN_TESTED,
    LabelledRows,
    assess,
    bootstrap_mean,
    cross_validate,
    fit_regression,
    learning_curve,
)
from facestats.core.attribute_settings import AttributeSettings
from tests.conftest import DATA

SFHQ = DATA / "clip_sfhq/embeddings.parquet"


def clusters(n=90, dim=12, spread=0.6, seed=0, n_options=3):
    """Unit vectors around one centre per option; a small `spread` makes the options easy to tell apart."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, n_options, n)
    vectors = rng.normal(size=(n_options, dim))[values] + spread * rng.normal(size=(n, dim))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return LabelledRows(vectors, values, np.ones(n, dtype=bool), n_options, 0.999)


def test_the_regression_is_that_of_scikit_learn_also_for_two_options():
    from sklearn.linear_model import LogisticRegression

    for n_options in (2, 3):
        rows = clusters(n_options=n_options)
        weights, bias = fit_regression(rows.vectors, rows.values, n_options)
        bare = LogisticRegression(C=10, max_iter=5000).fit(rows.vectors, rows.values)
        logits = rows.vectors @ weights.T + bias
        probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        assert np.allclose(probs, bare.predict_proba(rows.vectors), atol=1e-5)


def test_an_option_that_nobody_named_is_never_found():
    rows = clusters()
    weights, bias = fit_regression(rows.vectors, rows.values * 2, 6)
    found = (rows.vectors @ weights.T + bias).argmax(axis=1)
    assert set(found) <= {0, 2, 4}
    assert np.isneginf(bias[[1, 3, 5]]).all()
    weights, bias = fit_regression(rows.vectors, np.full(90, 2), 3)
    assert (rows.vectors @ weights.T + bias).argmax(axis=1).tolist() == [2] * 90


def test_near_duplicates_do_not_help_in_the_test():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, 60)  # labels that nothing explains
    vectors = rng.normal(size=(60, 40)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    twice, labels = np.repeat(vectors, 2, axis=0), np.repeat(values, 2)

    def accuracy(min_cosine):
        rows = LabelledRows(twice, labels, np.ones(120, dtype=bool), 2, min_cosine)
        return np.mean([(cross_validate(rows, seed=s).argmax(axis=1) == labels).mean() for s in range(4)])

    assert accuracy(0.999) < 0.65
    assert accuracy(1.1) > 0.7  # the accuracy when duplicates are split between folds


def test_other_pictures_of_a_person_do_not_help_in_the_test():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.integers(0, 2, 40), 3)  # nothing but the person explains the label
    people = np.repeat(np.arange(40), 3)
    vectors = rng.normal(size=(40, 60))[people] + 0.5 * rng.normal(size=(120, 60))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def accuracy(people):
        rows = LabelledRows(vectors, values, np.ones(120, dtype=bool), 2, 0.999, people)
        return np.mean([(cross_validate(rows, seed=s).argmax(axis=1) == values).mean() for s in range(4)])

    assert accuracy(people) < 0.65
    assert accuracy(None) > 0.8  # the accuracy when persons are split between folds
    few = LabelledRows(vectors[:24], values[:24], np.ones(24, dtype=bool), 2, 0.999, people[:24])
    assert few.what_is_missing() == "8 different persons, 10 are needed"


def test_easy_options_are_learned_and_the_curve_climbs():
    rows = clusters(n=200, spread=1.2)
    held_out = cross_validate(rows, seed=0)
    assert np.allclose(held_out.sum(axis=1), 1)
    assert (held_out.argmax(axis=1) == rows.values).mean() > 0.8
    curve = learning_curve(rows, seed=0)
    assert list(curve) == [25, 50, 100]
    assert all(((right >= 0) & (right <= 1)).all() for right in curve.values())
    assert curve[25].mean() < curve[100].mean() + 0.02


def test_equal_seeds_give_equal_results():
    rows, right = clusters(), np.ones(90)
    first, second = assess(rows, right, seed=3), assess(rows, right, seed=3)
    assert first[:2] == second[:2]
    assert all(np.array_equal(a, b) for a, b in zip(first[2], second[2], strict=True))


@pytest.mark.parametrize(("share", "promoted"), [(0.3, True), (1.0, False)])
def test_a_probe_is_promoted_where_the_interval_of_its_gain_lies_above_zero(share, promoted):
    rows = clusters(n=120, spread=0.5)
    right = (np.random.default_rng(1).random(120) < share).astype(float)
    report, curve, parts = assess(rows, right, seed=0)
    assert report["promoted"] is promoted
    assert (report["gain_low"] > 0) is promoted
    assert report["gain"] == pytest.approx(report["accuracy"] - report["zero_shot"])
    assert report["accuracy_low"] <= report["accuracy"] <= report["accuracy_high"]
    assert curve[-1]["accuracy"] == report["accuracy"]
    assert parts[2].shape == (120, 3)


def test_rows_picked_for_being_hard_are_learned_from_but_do_not_count():
    easy = clusters(n=80, spread=0.3)
    rng = np.random.default_rng(5)
    wrong = rng.integers(0, 3, 40)  # hard rows whose labels are noise
    vectors = np.concatenate([easy.vectors, clusters(n=40, spread=3, seed=9).vectors])
    values = np.concatenate([easy.values, wrong])
    tested = np.arange(120) < 80
    report, _, _ = assess(LabelledRows(vectors, values, tested, 3, 0.999), None, seed=0)
    everything, _, _ = assess(LabelledRows(vectors, values, np.ones(120, dtype=bool), 3, 0.999), None, seed=0)
    assert (report["n"], report["n_tested"]) == (120, 80)
    assert report["accuracy"] > everything["accuracy"] + 0.1


def test_without_prompts_nothing_is_promoted_and_the_report_says_why():
    report, curve, parts = assess(clusters(), None, seed=0)
    assert report["why"] == "no zero-shot labels to compare with"
    assert report["promoted"] is False
    assert "zero_shot" not in curve[0]
    assert parts is not None


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (clusters(n=MIN_TESTED - 1), f"19 rows to test on, {MIN_TESTED} are needed"),
        (clusters(n_options=1), "one option only"),
        (
            LabelledRows(np.ones((50, 4), np.float32) / 2, np.arange(50) % 2, np.ones(50, bool), 2, 0.99),
            "1 different pictures",
        ),
    ],
)
def test_too_few_labels_are_no_error_but_a_reason(rows, why):
    report, curve, parts = assess(rows, None, seed=0)
    assert why in report["why"]
    assert (curve, parts, report["promoted"]) == ([], None, False)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 60), st.integers(0, 100))
def test_intervals_hold_their_mean_and_widen_with_groups(n, seed):
    values = np.random.default_rng(seed).random(n)
    mean, low, high = bootstrap_mean(values, np.arange(n), seed=0)
    assert mean == pytest.approx(values.mean())
    assert values.min() - 1e-9 <= low <= high <= values.max() + 1e-9
    doubled = bootstrap_mean(np.repeat(values, 2), np.repeat(np.arange(n), 2), seed=0)
    assert doubled == pytest.approx((mean, low, high))


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        _, low, high = bootstrap_mean(rng.normal(0.5, 1, 60), np.arange(60), seed=seed)
        hits += low <= 0.5 <= high
    assert 180 <= hits <= 199


def test_all_right_is_not_taken_for_certain():
    rows = clusters(n=60, spread=0.05)
    report, _, _ = assess(rows, np.ones(60), seed=0)
    assert report["accuracy"] == 1
    assert 0.9 < report["accuracy_low"] < 0.96  # Wilson: 60 of 60
    assert (report["gain_low"], report["gain_high"]) == (0, 0)


@pytest.mark.slow
@pytest.mark.skipif(
    not SFHQ.is_file(), reason=f"no labelled CLIP vectors at {SFHQ}; set FACESTATS_SHARED_DATA"
)
def test_two_hundred_labels_of_real_vectors(tmp_path):
    table = pl.read_parquet(SFHQ)
    names = ["gender", "ethnicity"]
    side = {"image": ["x"], "text": ["x"]}
    attributes = {
        name: AttributeSettings.model_validate(
            {
                "title": name,
                "image_templates": ["{}"],
                "text_templates": ["{}"],
                "options": dict.fromkeys(sorted(table[name].drop_nulls().unique()), side),
            }
        )
        for name in names
    }
    said = table.unpivot(names, index="image_id", variable_name="attribute", value_name="value").drop_nulls()
    file = tmp_path / "labels.csv"
    said.write_csv(file)
    labels = fs.human_labels.read(file, attributes)
    probes = fs.attributes.fit_probes(table, labels, encoder="ViT-B-32/openai", attributes=attributes, seed=0)
    report = {row["attribute"]: row for row in probes.report.iter_rows(named=True)}
    assert report["gender"]["n_tested"] == report["ethnicity"]["n_tested"] == 200
    assert report["gender"]["accuracy"] >= 0.95
    assert report["ethnicity"]["accuracy"] >= 0.78
    for name in names:
        assert report[name]["accuracy_high"] - report[name]["accuracy_low"] < 0.15
        curve = probes.curves.filter(attribute=name).sort("n_labels")["accuracy"]
        assert curve.len() == 4
        assert curve[0] + 0.05 < curve[-1]
        assert "no zero-shot" in report[name]["why"]
