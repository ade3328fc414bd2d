"""A run reports all problems of a project before the first picture."""

import pytest
from PIL import Image

import facestats as fs
from facestats.surfaces.project.init import init_project
from facestats.surfaces.project.preflight import NoPicturesError, PreflightError, check_project


@pytest.fixture
def project(tmp_path):
    init_project(tmp_path)
    clip, bart = fs.load_config(demo=True).embeddings.model, fs.load_config(demo=True).text_labels.model
    (tmp_path / "facestats.yaml").write_text(
        f"attributes: attributes.yaml\nembeddings: {{model: '{clip}'}}\ntext_labels: {{model: '{bart}'}}\n"
    )
    return tmp_path


def draw(project, name):
    Image.new("RGB", (64, 64), "grey").save(project / "data" / "raw" / name)


def test_no_pictures_says_where_to_put_them_and_how_to_see_the_demo(project):
    with pytest.raises(NoPicturesError) as caught:
        check_project(fs.load_config(project))
    assert str(project / "data" / "raw") in str(caught.value)
    assert "run --demo" in str(caught.value)


def test_no_project_names_init(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACESTATS_CONFIG", raising=False)
    with pytest.raises(NoPicturesError, match="init my_project"):
        check_project(fs.load_config())


def test_a_sound_project_passes(project):
    draw(project, "a.png")
    check_project(fs.load_config(project))


def test_all_problems_are_listed_at_once(project):
    draw(project, "a.png")
    raw = project / "data" / "raw"
    (raw / "metadata.csv").write_text("file_name,true_gender\na.png,robot\n")
    (raw / "labels.csv").write_text("image_id,attribute,value\na.png,gendr,male\n")
    (raw / "ratings.csv").write_text("image_id,rater_id,rating\na.png,gpt,1\n")
    config = project / "facestats.yaml"
    config.write_text(
        config.read_text()
        + "classifiers: {gender: {model: ./nowhere, labels: {M: male}}}\n"
        + "composites: {by: [gender, aeg]}\n"
    )
    with pytest.raises(PreflightError) as caught:
        check_project(fs.load_config(project))
    text = str(caught.value)
    assert text.startswith("5 problems before the first picture:")
    for part in ("robot", "gendr", "gpt", "nowhere", "'aeg' (did you mean 'age'?)"):
        assert part in text, text


def test_means_without_raters_and_traits_that_nobody_rated_are_said_before_the_first_picture(project):
    draw(project, "a.png")
    file, config = project / "data/raw/ratings.csv", project / "facestats.yaml"
    file.write_text("image_id,rating\na.png,3.4\n")
    with pytest.raises(PreflightError, match="no column .'rater_id'.: these are means"):
        check_project(fs.load_config(project))
    file.write_text("image_id,rater_id,trait,rating\na.png,anna,calm,3\n")
    config.write_text(config.read_text() + "ratings: {traits: [clam]}\n")
    with pytest.raises(PreflightError, match="no ratings of the trait 'clam'.*Did you mean 'calm'"):
        check_project(fs.load_config(project))


def test_a_file_that_several_checks_read_is_one_problem(project):
    draw(project, "a.png")
    (project / "data/raw/metadata.csv").write_text("file_name,true_gender\na.png,male,x\n")
    with pytest.raises(PreflightError, match="^1 problem before the first picture:"):
        check_project(fs.load_config(project / "facestats.yaml"), first="01", last="01")
