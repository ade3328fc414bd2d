import numpy as np
import polars as pl
import pytest
from scipy.stats import fisher_exact, ttest_ind

import facestats as fs
from facestats.core.stats import smallest_gap, wilson_interval
from facestats.core.tables import AUDIT
from tests.audit.conftest import ATTRIBUTES, OPTIONS, N, enum, labelled


@pytest.fixture(scope="module")
def audit(world):
    return fs.audit.accuracy(*with_attributes(world))


def with_attributes(world):
    return world[0], ATTRIBUTES, world[1]


def test_known_truth_gives_known_scores():
    """Twenty faces: gender is wrong for four of ten African faces and correct for ten Asian faces."""
    ids = [f"{i}.jpg" for i in range(20)]
    gender, ethnicity = np.arange(20) % 2, np.arange(20) // 10
    wrong = (ethnicity == 1) & (np.arange(20) % 10 < 4)
    labels = pl.DataFrame({"image_id": ids, "gender": enum("gender", np.where(wrong, 1 - gender, gender))})
    truth = pl.DataFrame(
        {
            "image_id": ids,
            "true_gender": enum("gender", gender),
            "true_ethnicity": enum("ethnicity", ethnicity),
        }
    )
    found = fs.audit.accuracy(labels, ATTRIBUTES, truth, by=["ethnicity"]).filter(attribute="gender")
    assert found.select("slice", "source", "by", "group", "n", "accuracy").rows() == [
        ("gender|merged|all|all", "merged", "all", "all", 20, 0.8),
        ("gender|merged|ethnicity|Asian", "merged", "ethnicity", "Asian", 10, 1.0),
        ("gender|merged|ethnicity|African", "merged", "ethnicity", "African", 10, 0.6),
    ]
    assert found["balanced_accuracy"].to_list() == pytest.approx([0.8, 1.0, 0.6])
    assert found["macro_f1"].to_list() == pytest.approx([0.8, 1.0, 0.6])
    low, high = wilson_interval([16, 10, 6], [20, 10, 10])
    assert found["accuracy_low"].to_list() == pytest.approx(low)
    assert found["accuracy_high"].to_list() == pytest.approx(high)
    p = fisher_exact([[6, 4], [10, 0]]).pvalue  # that of all exchanges, of which some are drawn
    assert found["p_adjusted"].to_list() == [None, pytest.approx(p, abs=0.02), pytest.approx(p, abs=0.02)]
    gaps = [None, smallest_gap(10, 10, 0.6, level=0.025), smallest_gap(10, 10, 1.0, level=0.025)]
    assert found["smallest_gap"].to_list() == gaps
    assert gaps[2] == pytest.approx(0.59)


def test_the_mean_over_attributes_is_compared_by_a_test_over_faces(audit, world):
    master, truth = world
    correct = np.stack([(master[a] == truth[f"true_{a}"]).to_numpy() for a in OPTIONS])
    shares, male = correct.mean(axis=0), (truth["true_gender"] == "male").to_numpy()
    found = audit.filter(attribute="all", source="merged", by="gender")
    assert found["group"].to_list() == ["male", "female"]
    assert found["accuracy"].to_list() == pytest.approx([shares[male].mean(), shares[~male].mean()])
    p = ttest_ind(shares[male], shares[~male], equal_var=False).pvalue
    assert found["p_adjusted"].to_list() == pytest.approx([p, p], abs=0.08)  # about equal where p is large


def test_a_missing_label_of_a_picture_is_wrong_and_a_silent_text_does_not_count():
    ids = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    says = pl.Series(["male", "female", None, None], dtype=pl.Enum(OPTIONS["gender"]))
    labels = pl.DataFrame({"image_id": ids, "image_gender": says, "text_gender": says})
    truth = pl.DataFrame({"image_id": ids, "true_gender": enum("gender", [0, 0, 0, 1])})
    found = fs.audit.accuracy(labels, ATTRIBUTES, truth, by=[]).filter(attribute="gender")
    assert found.select("source", "n", "accuracy").rows() == [("image", 4, 0.25), ("text", 2, 0.5)]


def test_the_table_keeps_its_contract_and_its_intervals_hold_the_truth(audit):
    fs.tables.check_table(audit, AUDIT)
    assert set(audit["by"]) == {"all", "gender", "ethnicity", "gender+ethnicity"}
    groups = audit.filter((pl.col("attribute") != "all") & (pl.col("source") == "image"))
    held = groups["accuracy_low"].le(0.95) & groups["accuracy_high"].ge(0.95)
    low, _ = wilson_interval(held.sum(), len(held))
    assert held.mean() > 0.85
    assert low > 0.75
    whole = audit.filter(attribute="all", by="all", source="image")
    assert whole["accuracy_low"][0] < 0.95 < whole["accuracy_high"][0]
    assert audit.filter(by="gender", attribute="gender", source="image")["n"].sum() == N


def test_without_truth_there_are_no_rows(world):
    nothing = fs.audit.accuracy(world[0], ATTRIBUTES, world[1].clear().select("image_id"))
    assert nothing.height == 0
    assert nothing.schema == fs.audit.accuracy(*with_attributes(world)).schema


def test_pictures_that_are_not_in_master_are_logged_and_left_out(world, caplog):
    master, truth = world
    lost = truth.with_columns(image_id="raw/" + pl.col("image_id"))
    found = fs.audit.accuracy(master, ATTRIBUTES, pl.concat([truth.head(30), lost.tail(10)]))
    assert found.filter(by="all")["n"].max() == 30
    assert "10 of 40 pictures with known truth are not in master" in caplog.text


def test_values_that_a_person_gave_are_not_scored_as_merged_labels(world):
    master, truth = world
    known = truth.head(40).select("image_id", "true_gender")
    said = pl.Series(np.arange(N) < 40)
    merged = master.with_columns(gender_source=pl.when(said).then(pl.lit("human")).otherwise(pl.lit("image")))
    found = fs.audit.accuracy(merged, ATTRIBUTES, known).filter(by="all", attribute="gender")
    assert set(found["source"]) == {"image", "text"}
    correct = (master["image_gender"] == truth["true_gender"]).head(40)
    assert found.filter(source="image").select("n", "accuracy").row(0) == (40, correct.mean())


def test_probes_and_classifiers_are_scored_too(world):
    master, truth = world
    rng = np.random.default_rng(2)
    true = truth["true_hair_color"].to_physical().to_numpy()
    probe = labelled(rng, true, "hair_color", accuracy=0.99, prefix="probe_")
    other = labelled(rng, true, "hair_color", accuracy=0.6, prefix="vit_")
    scores = fs.audit.accuracy(master.with_columns(**probe, **other), ATTRIBUTES, truth)
    found = dict(scores.filter(by="all", attribute="hair_color").select("source", "accuracy").rows())
    assert set(found) == {"merged", "image", "text", "probe", "vit"}
    for source, labels in (("probe", probe), ("vit", other)):
        exact = (labels[f"{source}_hair_color"] == truth["true_hair_color"]).mean()
        assert found[source] == pytest.approx(exact)
    assert found["probe"] == pytest.approx(0.99, abs=0.015)
    assert found["vit"] == pytest.approx(0.6, abs=0.06)


def test_an_option_a_group_has_not_does_not_halve_its_score(audit):
    itself = audit.filter(pl.col("by").str.contains("gender"), attribute="gender")
    assert itself["macro_f1"].null_count() == itself["balanced_accuracy"].null_count() == itself.height
    assert itself["accuracy"].null_count() == 0
    groups = audit.filter(by="ethnicity", attribute="gender", source="image")
    assert groups["macro_f1"].min() > 0.9


def test_faces_that_are_all_right_have_an_interval_all_the_same(world):
    _, truth = world
    right = truth.rename(lambda c: c.replace("true_", "")).head(6)
    audit = fs.audit.accuracy(right, ATTRIBUTES, truth)
    whole = audit.filter(attribute="all", by="all")
    assert whole["accuracy"][0] == whole["accuracy_high"][0] == 1
    assert whole["accuracy_low"][0] == pytest.approx(wilson_interval(6, 6)[0])
    assert audit.filter(pl.col("n") > 0)["accuracy_low"].max() < 1


def test_the_vector_of_a_text_is_scored_where_there_is_a_text_and_raises_no_alarm(world):
    master, truth = world
    always = {
        f"vector_{name}": pl.when(pl.int_range(pl.len()) < 100).then(pl.lit(options[0], pl.Enum(options)))
        for name, options in OPTIONS.items()
    }
    said = master.with_columns(**always).with_columns(
        *(pl.col(f"{name}_score").alias(f"vector_{name}_score") for name in OPTIONS),
        *(pl.col(f"{name}_probs").alias(f"vector_{name}_probs") for name in OPTIONS),
    )
    audit = fs.audit.accuracy(said, ATTRIBUTES, truth)
    row = audit.row(by_predicate=pl.col("slice") == "gender|vector|all|all", named=True)
    assert row["n"] == 100
    assert row["accuracy"] == (truth["true_gender"].head(100) == "male").mean()
    assert fs.audit.findings(audit=audit).filter(level="alarm").height == 0


def test_settings_are_the_keywords_of_accuracy(config):
    truth = pl.DataFrame({"image_id": ["a"], "true_age": ["child"]})
    found = fs.audit.settings(config.model_copy(update={"seed": 5}), truth)
    assert (found["by"], found["seed"]) == (config.audit.by, 5)
    assert fs.audit.settings(config, truth.with_columns(true_age=pl.lit("teen")))["truth"] != found["truth"]
