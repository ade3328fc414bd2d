"""Every measure takes its data, then the attributes, then truth or encoder; all else by keyword."""

import inspect

import pytest

import facestats as fs

MEASURES = {
    "accuracy": ["master", "attributes", "truth"],
    "calibration": ["labels", "attributes", "truth"],
    "crosstalk": ["master", "attributes", "truth"],
    "label_sets": ["labels", "attributes", "truth"],
    "options": ["master", "attributes", "truth"],
    "prompts": ["embeddings", "attributes", "encoder"],
    "stability": ["changed", "attributes", "encoder"],
    "texts": ["master", "attributes"],
}


@pytest.mark.parametrize("name", MEASURES)
def test_data_attributes_and_truth_or_encoder_come_first(name):
    parameters = inspect.signature(getattr(fs.audit, name)).parameters.values()
    assert [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD] == MEASURES[name]
    assert all(p.kind is p.KEYWORD_ONLY for p in list(parameters)[len(MEASURES[name]) :])


def test_every_public_function_is_a_measure_or_reads_their_tables():
    assert set(fs.audit.__all__) == {*MEASURES, "changed_crops", "findings", "settings", "write_card"}
