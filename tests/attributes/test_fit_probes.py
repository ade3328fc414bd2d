from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from facestats.attributes import fit_probes, label_attributes
from facestats.core.protocols import ModelError
from facestats.core.tables import TableError
from tests.attributes.hash_encoder import HashEncoder, attribute, table


def said(frame, attribute, values, reason=None):
    """Labels by people, as fs.human_labels.read returns them."""
    return frame.select(
        "image_id",
        attribute=pl.lit(attribute),
        value=pl.Series(values, dtype=pl.String),
        agreement=pl.lit(1, pl.Float32),
        n_labellers=pl.lit(1, pl.Int32),
        reason=pl.lit(reason, pl.String),
    )


def learnable(n=120):
    """Vectors, and labels of "x" that follow their first dimension, which the prompts do not know."""
    frame = table(n)
    first = frame["embedding"].to_numpy()[:, 0]
    return frame, said(frame, "x", np.where(first > 0, "a", "b"))


def test_a_probe_that_beats_the_prompts_gets_columns_of_its_own():
    frame, labels = learnable()
    attributes = {"x": attribute(["a", "b"]), "y": attribute(["c", "d"], view="full")}
    probes = fit_probes(frame, labels, encoder=HashEncoder(), attributes=attributes, seed=0)
    assert list(probes.promoted) == ["x"]
    row = probes.report.row(0, named=True)
    assert row["accuracy"] > 0.85
    assert row["gain_low"] > 0
    plain = label_attributes(frame, HashEncoder(), attributes)
    probed = label_attributes(frame, HashEncoder(), attributes, probes=probes)
    assert probed.select(plain.columns).equals(plain)
    assert probed.columns == [*plain.columns, "probe_x", "probe_x_score", "probe_x_margin", "probe_x_probs"]
    assert probed.schema["probe_x"] == pl.Enum(["a", "b"])
    # what the table says of a picture that was learned from is what the test has measured
    assert (probed["probe_x"].cast(pl.String) == labels["value"]).mean() == pytest.approx(row["accuracy"])
    new = table(40, seed=9).with_columns(image_id="new" + pl.col("image_id"))
    found = label_attributes(new, HashEncoder(), attributes, probes=probes)["probe_x"]
    wanted = np.where(new["embedding"].to_numpy()[:, 0] > 0, "a", "b")
    assert (found.cast(pl.String).to_numpy() == wanted).mean() > 0.85


def test_a_probe_that_is_no_better_stays_out():
    frame = table(60)
    truth = label_attributes(frame, HashEncoder(), {"x": attribute(["a", "b"])})["x"].cast(pl.String)
    probes = fit_probes(
        frame, said(frame, "x", truth), encoder=HashEncoder(), attributes={"x": attribute(["a", "b"])}, seed=0
    )
    assert list(probes.fitted) == ["x"]
    assert probes.promoted == {}
    assert probes.report["zero_shot"].to_list() == [1.0]
    out = label_attributes(frame, HashEncoder(), {"x": attribute(["a", "b"])}, probes=probes)
    assert not [c for c in out.columns if c.startswith("probe")]


def test_without_prompts_the_report_says_so():
    frame, labels = learnable()
    probes = fit_probes(frame, labels, encoder="hash", attributes={"x": attribute(["a", "b"])}, seed=0)
    assert probes.report["why"].to_list() == ["no zero-shot labels to compare with"]
    assert probes.promoted == {}


def test_hard_rows_are_not_tested_on_and_rows_without_a_vector_not_learned_from():
    frame, labels = learnable()
    nulls = frame.with_columns(embedding=pl.when(pl.int_range(pl.len()) >= 10).then("embedding"))
    reasons = pl.Series(["low_margin"] * 50 + ["random"] * 40 + [None] * 30)
    marked = labels.with_columns(reason=reasons)
    probes = fit_probes(nulls, marked, encoder=HashEncoder(), attributes={"x": attribute(["a", "b"])}, seed=0)
    assert probes.report.select("n", "n_tested").row(0) == (110, 70)


def test_pictures_of_few_persons_are_not_tested_as_if_they_were_many():
    frame, labels = learnable()
    attributes = {"x": attribute(["a", "b"])}
    named = labels.with_columns(person=pl.Series([f"person {i % 9}" for i in range(120)]))
    probes = fit_probes(frame, named, encoder=HashEncoder(), attributes=attributes, seed=0)
    assert probes.report["why"].to_list() == ["9 different persons, 10 are needed"]
    alone = labels.with_columns(person=pl.lit(None, pl.String))
    found = fit_probes(frame, alone, encoder=HashEncoder(), attributes=attributes, seed=0)
    plain = fit_probes(frame, labels, encoder=HashEncoder(), attributes=attributes, seed=0)
    assert found.report.equals(plain.report)


def test_probes_are_kept_until_something_changes(tmp_path):
    frame, labels = learnable()
    file, attributes, encoder = tmp_path / "p.safetensors", {"x": attribute(["a", "b"])}, HashEncoder()
    first = fit_probes(frame, labels, encoder=encoder, attributes=attributes, seed=0, file=file)
    seen = len(encoder.seen)
    again = fit_probes(frame, labels, encoder=encoder, attributes=attributes, seed=0, file=file)
    assert again.name == first.name
    assert len(encoder.seen) == seen  # nothing was computed
    fewer = fit_probes(frame, labels[1:], encoder=encoder, attributes=attributes, seed=0, file=file)
    assert fewer.name != first.name
    file.write_bytes(b"damaged")
    assert (
        fit_probes(frame, labels, encoder=encoder, attributes=attributes, seed=0, file=file).name
        == first.name
    )


def test_only_the_probe_of_a_changed_attribute_is_fitted_again(tmp_path):
    frame, labels = learnable(60)
    both = pl.concat([labels, said(frame, "y", np.where(np.arange(60) % 3, "c", "d"))])
    file = tmp_path / "probes.safetensors"
    before = {"x": attribute(["a", "b"]), "y": attribute(["c", "d"], view="full")}
    first = fit_probes(frame, both, encoder=HashEncoder(), attributes=before, file=file)
    # a mark in the file shows what is read from it
    replace(first, report=first.report.with_columns(why=pl.lit("kept"))).save(file)

    other = before["y"].model_copy(update={"image_templates": ("a drawing of {}",)})
    changes = {
        "y": ({"x": before["x"], "y": other}, both),
        "x": (before, pl.concat([labels[1:], both[60:]])),
        "order": ({"y": before["y"], "x": before["x"]}, both),
        "": (before | {"z": before["x"]}, both),
    }
    kept = file.read_bytes()
    for changed, (attributes, answers) in changes.items():
        file.write_bytes(kept)
        found = fit_probes(frame, answers, encoder=HashEncoder(), attributes=attributes, file=file)
        alone = fit_probes(frame, answers, encoder=HashEncoder(), attributes=attributes)
        assert found.report.drop("why").equals(alone.report.drop("why")), changed
        assert found.curves.equals(alone.curves)
        assert (found.name, found.parts, list(found.fitted)) == (alone.name, alone.parts, list(alone.fitted))
        for name, probe in alone.fitted.items():
            assert np.array_equal(found.fitted[name].weights, probe.weights)
        again = found.report.filter(pl.col("why") != "kept")["attribute"].to_list()
        assert again == ([changed] if changed in before else [])
    file.write_bytes(kept)
    nothing = fit_probes(frame, both.clear(), encoder=HashEncoder(), attributes=before, file=file)
    assert (nothing.fitted, nothing.report.height) == ({}, 0)


def test_what_only_texts_are_compared_with_leaves_the_probes(tmp_path):
    frame, labels = learnable(60)
    x = attribute(["a", "b"])
    spoken = x.model_copy(update={"title": "Other", "text_templates": ("Says {}.",), "text_question": "Any?"})
    names = {fit_probes(frame, labels, encoder="hash", attributes={"x": a}).name for a in (x, spoken)}
    assert len(names) == 1


def test_probes_of_other_settings_are_not_taken_for_these(tmp_path):
    frame, labels = learnable()
    file, chosen = tmp_path / "p.safetensors", {"attributes": {"x": attribute(["a", "b"])}, "seed": 0}
    encoder = HashEncoder()
    unprompted = fit_probes(frame, labels, encoder=encoder.name, file=file, **chosen)
    assert unprompted.promoted == {}
    prompted = fit_probes(frame, labels, encoder=encoder, file=file, **chosen)
    assert list(prompted.promoted) == ["x"]
    looser = fit_probes(frame, labels, encoder=encoder, file=file, min_cosine=0.5, **chosen)
    assert len({unprompted.name, prompted.name, looser.name}) == 3


def test_probes_read_of_a_lazy_table_what_is_labelled():
    frame, labels = learnable()
    given = {"attributes": {"x": attribute(["a", "b"])}, "seed": 0}
    some = labels.head(80)
    eager, lazy = (fit_probes(f, some, encoder=HashEncoder(), **given) for f in (frame, frame.lazy()))
    assert lazy.name == eager.name
    assert lazy.report.equals(eager.report)
    assert fit_probes(frame.lazy(), labels.head(0), encoder=HashEncoder(), **given).report.is_empty()


def test_no_labels_are_no_probes():
    frame, labels = learnable()
    probes = fit_probes(
        frame, labels.head(0), encoder=HashEncoder(), attributes={"x": attribute(["a", "b"])}, seed=0
    )
    assert probes.report.is_empty()
    assert label_attributes(frame, HashEncoder(), {"x": attribute(["a", "b"])}, probes=probes).width == 5


def test_probes_of_other_vectors_options_and_pictures_are_refused():
    frame, labels = learnable()
    attributes, encoder = {"x": attribute(["a", "b"])}, HashEncoder()
    probes = fit_probes(frame, labels, encoder=encoder, attributes=attributes, seed=0)
    with pytest.raises(ModelError, match=r"\['a', 'b'\], the configuration has \['b', 'a'\]"):
        label_attributes(frame, encoder, {"x": attribute(["b", "a"])}, probes=probes)
    encoder.name = "other"
    with pytest.raises(ModelError, match="vectors of 'hash', not of 'other'"):
        label_attributes(frame, encoder, attributes, probes=probes)
    strangers = labels.with_columns(image_id="s" + pl.col("image_id"))
    with pytest.raises(
        TableError, match="no label belongs to a picture in embeddings: the labels are of 'si0'"
    ):
        fit_probes(frame, strangers, encoder=encoder, attributes=attributes, seed=0)
