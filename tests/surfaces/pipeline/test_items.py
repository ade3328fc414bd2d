"""What goes into a pipeline, and what comes out besides the labels: the threshold, the counts, models and warnings."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import facestats as fs
from facestats.core.config import ConfigError
from facestats.core.protocols import ModelError
from facestats.surfaces.pipeline.items import name_picture
from facestats.testing import FakeEncoder, FakeLandmarker, FakeTextClassifier, draw_faces

Item = fs.CharacterPipeline.Item
FACES, TEXTS = "This model knows drawn faces only.", "This model knows captions of drawn faces only."


def fakes(**models):
    return {
        "landmarker": FakeLandmarker(),
        "encoder": FakeEncoder(),
        "classifier": FakeTextClassifier(),
        **models,
    }


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """An empty working folder of a user with an empty cache folder."""
    for variable in ("FACESTATS_CONFIG", "FACESTATS_FOLDER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture(scope="module")
def face(tmp_path_factory):
    folder = tmp_path_factory.mktemp("face")
    draw_faces(folder, n_faces=1)
    return next(p for p in folder.rglob("*.*") if p.is_file())


def make(tmp_path, *, threshold=None, use_cache=True, **models):
    config = fs.load_config(demo=True).model_copy(update={"data_dir": tmp_path / "data"})
    return fs.CharacterPipeline(config, use_cache, threshold=threshold, **fakes(**models))


def run_the_script(pipeline, face):
    """Run what the README shows."""
    Image.open(face).save("character.jpg", quality=95)
    result = pipeline.process_image(Image.open("character.jpg"))
    assert json.loads(result.attributes.to_json())["Age"]
    assert json.loads(pipeline.process_text("A teenage girl with red hair").attributes.to_json())
    image = Image.open("character.jpg")
    mix = [
        image,
        np.asarray(image),
        Path("character.jpg").read_bytes(),
        "character.jpg",
        Path("character.jpg"),
    ]
    results = pipeline.process_batch(mix)
    assert [r.status for r in results] == [result.status] * 5
    assert all(r.attributes.to_dict() == result.attributes.to_dict() for r in results)
    stats = pipeline.get_stats()
    assert stats["processed_count"] == 7
    assert stats["cache_stats"] == {"entries": 3, "hits": 2, "misses": 5}, "the image, the file, the text"
    return result


def test_the_script_runs_in_an_empty_folder_with_the_packaged_default(empty_folder, face):
    pipeline = fs.CharacterPipeline(use_cache=True, **fakes())
    assert pipeline.config.source.is_packaged
    result = run_the_script(pipeline, face)
    assert (result.id, result.warning) == ("character.jpg", None)
    assert [p.name for p in empty_folder.iterdir()] == ["character.jpg"], "the cache is in the user's folder"


def test_the_script_runs_with_the_demo_s_own_models(empty_folder):
    from facestats.demo.gallery import write_gallery

    write_gallery(empty_folder.parent / "drawn", n=1, seed=0)
    drawn = empty_folder.parent / "drawn" / "character_00000.jpg"
    pipeline = fs.CharacterPipeline(demo=True)
    result = run_the_script(pipeline, drawn)
    assert result.status == "ok"
    assert result.model["picture"] == pipeline.encoder.name
    with pytest.raises(ConfigError, match="demo"):
        fs.CharacterPipeline("facestats.yaml", demo=True)
    with pytest.raises(ConfigError, match="demo"):
        fs.CharacterPipeline(pipeline.config, demo=True)


def test_an_image_in_memory_is_answered_as_its_file_is(tmp_path, face):
    pipeline = make(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(face)
    for file, options in (("a.png", {}), ("turned.png", {"exif": exif}), ("a.bmp", {}), ("a.webp", {})):
        image.save(tmp_path / file, **options)
        from_file = pipeline.process_image(tmp_path / file)
        opened = pipeline.process_image(Image.open(tmp_path / file))
        assert (opened.id, opened.status) == (file, from_file.status)
        assert opened.attributes == from_file.attributes
    grey = np.asarray(image.convert("L"))
    answers = pipeline.process_batch([grey, grey[..., None], np.stack([grey] * 3, 2), grey / 255.0])
    assert [a.id for a in answers] == ["image"] * 4
    assert len({a.attributes.to_json() for a in answers}) == 1
    array = np.asarray(image.convert("RGB"))
    stacked = pipeline.process_batch(np.stack([array, array]))
    assert [a.attributes for a in stacked] == [pipeline.process_image(array).attributes] * 2
    assert pipeline.process_image(array).cached, "remembered by content"


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 40, 40), np.uint8), "np.moveaxis"),
        (np.zeros((40,), np.uint8), r"not \(40,\)"),
        (np.zeros((40, 40, 2), np.uint8), r"not \(40, 40, 2\)"),
        (np.zeros((0, 40, 3), np.uint8), "empty"),
        (np.full((40, 40), 200.0), "these go from 200 to 200"),
        (np.full((40, 40), np.nan), "between 0 and 1"),
        (np.zeros((40, 40), np.int64), "not int64"),
        (np.zeros((40, 40), bool), "not bool"),
        (np.zeros((4, 4), np.uint8), "shorter side"),
    ],
)
def test_an_array_that_is_no_picture_is_an_answer_that_says_why(tmp_path, face, array, words):
    bad, good = make(tmp_path).process_batch([array, face])
    assert bad.status in {"unsupported_format", "too_small"}
    with pytest.raises(ValueError, match=words):
        raise ValueError(bad.error)
    assert good.status == "ok"


def test_what_is_no_picture_at_all_is_a_type_error(tmp_path, face):
    pipeline = make(tmp_path)
    for value in (7, {"image": face}, [face]):
        with pytest.raises(TypeError, match=r"is a (int|dict|list); give a Pillow image, an array"):
            pipeline.process_batch([value])
    for value in (
        str(face),
        face,
        face.read_bytes(),
        Image.new("L", (9, 9)),
        np.zeros((9, 9, 3)),
        Item("a", face),
    ):
        with pytest.raises(TypeError, match="takes a list of inputs"):
            pipeline.process_batch(value)
    with pytest.raises(TypeError, match="must be a string, this is a float"):
        pipeline.process_text(float("nan"))
    assert "process_text" in pipeline.process_batch(["a girl with red hair"])[0].error


def test_an_item_without_a_name_is_called_after_what_it_holds():
    assert fs.CharacterPipeline.Item(text="an old man").id == "text"
    assert fs.CharacterPipeline.Item(image="pictures/anna.jpg").id == "anna.jpg"
    assert fs.CharacterPipeline.Item(image=b"x").id == "image"


def test_items_have_names_and_texts_and_print_short():
    assert (
        repr(Item("a", np.zeros((40, 30, 3), np.uint8))) == "Item('a', image=<array (40, 30, 3)>, text=None)"
    )
    assert name_picture(Image.new("RGB", (20, 20))) == "image"


def test_a_label_below_the_threshold_is_null_and_keeps_its_score(tmp_path, face):
    plain = make(tmp_path).process_image(face, text="red hair")
    scores = sorted(label.score for label in plain.attributes.labels.values() if label.score is not None)
    middle = scores[len(scores) // 2]
    strict = make(tmp_path, threshold=middle).process_image(face, text="red hair")
    assert strict.cached, "every threshold uses the same answers"
    for name, label in strict.attributes.labels.items():
        before = plain.attributes[name]
        assert label.value == (before.value if before.score is None or before.score >= middle else None)
        assert (label.score, label.source, label.probs) == (before.score, before.source, before.probs)
    nulls = [value for value in json.loads(strict.attributes.to_json()).values() if value is None]
    assert 0 < len(nulls) < len(plain.attributes)
    for wrong in (-0.1, 50, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            make(tmp_path, threshold=wrong)


@dataclass
class Domain:
    warning: str
    trained_on: str = "drawn faces"
    outside: bool = False

    def mark(self, embeddings):
        return embeddings.select("image_id", outside=self.outside)


class ToyEncoder(FakeEncoder):
    def __init__(self, *, outside=False):
        super().__init__()
        self.domain = Domain(FACES, outside=outside)


class ToyClassifier(FakeTextClassifier):
    domain = Domain(TEXTS)


def test_toy_models_say_so_in_every_answer_also_in_those_of_the_cache(tmp_path, face):
    models = {"encoder": ToyEncoder(), "classifier": ToyClassifier()}
    for cached in (False, True):
        pipeline = make(tmp_path, **models)
        seen, said, both = pipeline.process_batch(
            [face, Item("a", None, "red hair"), Item("b", face, "red hair")]
        )
        assert [r.cached for r in (seen, said, both)] == [cached] * 3
        assert (seen.warning, said.warning, both.warning) == (FACES, TEXTS, f"{FACES} {TEXTS}")
        assert seen.model == {"picture": FakeEncoder.name}
        assert said.model == {"text": FakeTextClassifier.name}
        assert both.to_dict()["model"] == {**seen.model, **said.model}
    assert pipeline.warning == f"{FACES} {TEXTS}"
    nothing, blank = pipeline.process_batch([b"no picture", Item("blank")])
    assert (nothing.model, nothing.warning, blank.model, blank.warning) == ({}, None, {}, None)


def test_a_picture_unlike_all_that_a_toy_model_knows_is_marked(tmp_path, face):
    pipeline = make(tmp_path, encoder=ToyEncoder(outside=True))
    answer = pipeline.process_image(face)
    assert answer.warning == f"{FACES} This picture is unlike them (drawn faces): its labels mean nothing."
    assert pipeline.process_text("red hair").warning is None


def test_real_models_are_named_and_give_no_warning(tmp_path, face):
    pipeline = make(tmp_path)
    assert pipeline.warning is None
    assert pipeline.process_image(face).to_dict()["warning"] is None


def test_a_model_that_is_not_here_names_the_demo(empty_folder, face, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(empty_folder / "hub"))
    pipeline = fs.CharacterPipeline(landmarker=FakeLandmarker())
    with fs.models.local_only(), pytest.raises(ModelError, match=r"--demo .*CharacterPipeline\(demo=True\)"):
        pipeline.process_text("red hair")


def test_a_heic_is_labelled_in_the_worker_processes(tmp_path, face):
    package = pytest.importorskip("pillow_heif", reason="HEIC is an extra: pip install 'facestats[heic]'")
    buffer = io.BytesIO()
    package.from_pillow(Image.open(face).convert("RGB")).save(buffer, quality=95)
    for name in ("a.heic", "B.HEIC", "c.heif"):
        (tmp_path / "raw" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(buffer.getvalue())
    assert fs.list_images(tmp_path / "raw")["image_id"].to_list() == ["B.HEIC", "a.heic", "c.heif"]
    answers = make(tmp_path).process_batch(sorted((tmp_path / "raw").iterdir()))
    assert [a.status for a in answers] == ["ok"] * 3
