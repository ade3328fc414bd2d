"""The columns of the averages are checked before anything is computed."""

import pytest

import facestats as fs
from facestats.core.config import CompositesSettings, Config, ConfigError


@pytest.fixture
def config(tmp_path):
    project = fs.testing.example_project()
    (tmp_path / "metadata.csv").write_text("file_name,true_age,true_hair_color\na.png,child,\n")
    (tmp_path / "a.png").touch()

    def make(**section):
        settings = CompositesSettings.model_validate(section)
        return Config(attributes=project.attributes, raw_dir=tmp_path, composites=settings)

    return make


def test_labels_sources_truth_and_combinations_are_columns(config):
    by = [
        "age",
        "true_age",
        "image_age",
        "age_source",
        "hair_color_conflict",
        "cluster",
        ["true_age", "hair_color"],
    ]
    found = fs.composites.columns(config(by=by))
    assert found[-1] == ("true_age", "hair_color")
    assert fs.composites.columns(config(by="age")) == (("age",),)


def test_all_columns_that_will_not_exist_are_named_with_the_nearest(config):
    with pytest.raises(ConfigError) as caught:
        fs.composites.columns(config(by=["agee", ["age", "foo"], "true_hair_color"]))
    text = str(caught.value)
    assert "'agee' (did you mean 'age'?), 'foo', 'true_hair_color' (did you mean 'hair_color'?)" in text
    assert "Groups can be made of age, hair_color, true_age, cluster." in text
    assert "truth metadata.csv gives" in text
    with pytest.raises(ConfigError, match=r"several columns stand in brackets: \[age, hair_color\]"):
        fs.composites.columns(config(by="age, hair_color"))


def test_the_default_is_gender_or_the_first_attribute(config):
    assert fs.composites.columns(config()) == (("age",),)
    assert fs.composites.settings(config())["by"] == "age"
    truth = fs.testing.example_project().truth
    assert "truth" not in fs.composites.settings(config(), truth)
    other = truth.with_columns(true_age=truth["true_age"].reverse())
    hashes = {fs.composites.settings(config(by=["true_age"]), t)["truth"] for t in (truth, other)}
    assert len(hashes) == 2
    assert fs.composites.columns(fs.load_config(demo=True)) == (("gender",),)


def test_truth_that_cannot_be_read_is_reported_by_its_own_check(config, tmp_path):
    (tmp_path / "metadata.csv").write_text("file_name,true_age\na.png,robot\n")
    assert fs.composites.columns(config(by=["true_age"])) == (("true_age",),)


def test_an_empty_list_is_refused():
    for by in ([], [[]]):
        with pytest.raises(ValueError, match="at least 1 item"):
            CompositesSettings(by=by)
