from __future__ import annotations

import json

import pytest

import facestats as fs
from facestats.core.protocols import ModelError


def test_a_saved_model_says_the_same_and_refuses_other_encoders(fit, embeddings, tmp_path):
    fit.model.save(tmp_path)
    again = fs.ratings.load_model(tmp_path, encoder="clip@1 bf16")
    assert again.name == fit.model.name
    assert fs.ratings.rate_faces(embeddings, again).equals(fs.ratings.rate_faces(embeddings, fit.model))
    with pytest.raises(ModelError, match="reads vectors of 'clip@1 fp32', but these are of 'clip@2 fp32'"):
        fs.ratings.load_model(tmp_path, encoder="clip@2 fp32")
    spec = json.loads((tmp_path / "model.json").read_text())
    assert {"encoder", "dims", "trait", "unit", "scale", "reference_distances"} <= set(spec)
    (tmp_path / "model.json").write_text(json.dumps(spec | {"trait": "wealth"}))
    with pytest.raises(ModelError, match="do not belong together"):
        fs.ratings.load_model(tmp_path, encoder="clip@1 fp32")


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"kind": "facestats ratings model 1"}'])
def test_a_damaged_model_is_a_sentence(fit, tmp_path, damage):
    fit.model.save(tmp_path)
    (tmp_path / "model.json").write_bytes(damage)
    with pytest.raises(ModelError, match=r"cannot be read|describes None"):
        fs.ratings.load_model(tmp_path, encoder="clip@1 fp32")


def test_a_model_prints_what_it_is_and_no_array(fit):
    assert repr(fit.model).startswith(
        "RatingsModel(attractiveness, 1 to 7 scale points, encoder 'clip@1 fp32', regressor=ridge"
    )
    assert len(repr(fit.model)) < 400
