from __future__ import annotations

import errno
import json
import logging
import tempfile
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats.attributes.probes import CURVE, REPORT, Probe, Probes
from facestats.core.config import Config
from facestats.core.protocols import ModelError
from facestats.surfaces.page.answer_html import draw_answer
from facestats.surfaces.pipeline.landmark_overlay import draw_landmarks
from facestats.surfaces.pipeline.pipeline import Item
from facestats.testing import FakeEncoder, FakeLandmarker, FakeTextClassifier, draw_faces
from tests.ledger import Ledger

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    draw_faces(folder, n_faces=4)
    return sorted(folder.rglob("*.*"))


@pytest.fixture
def config(tmp_path):
    demo = fs.load_config(ROOT / "config" / "demo.yaml")
    return demo.model_copy(update={"data_dir": tmp_path / "data", "raw_dir": tmp_path / "raw"})


def make(config, **options):
    models = {"landmarker": FakeLandmarker(), "encoder": FakeEncoder(), "classifier": FakeTextClassifier()}
    return fs.CharacterPipeline(config, **{**models, **options})


def test_a_batch_keeps_its_order_and_isolates_failures(config, pictures, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    pipeline = make(config)
    items = [
        pictures[0],
        Item("said", None, "an elderly woman with red hair"),
        broken,
        tmp_path / "gone.png",
        pictures[1].read_bytes(),
        Item("both", pictures[2], "a child"),
        Item("nothing"),
    ]
    results = pipeline.process_batch(items)
    assert [r.id for r in results] == [
        pictures[0].name,
        "said",
        "broken.jpg",
        "gone.png",
        "image",
        "both",
        "nothing",
    ]
    assert [r.status for r in results] == ["ok", "ok", "not_image", "vanished", "ok", "ok", "empty"]
    assert [r.error is None for r in results] == [True, True, False, False, True, True, False]
    assert results[1].attributes["hair_color"].value == "red"
    assert results[1].attributes["hair_color"].source == "text"
    assert results[5].attributes["age"].text == "child"
    stats = pipeline.get_stats()
    assert (stats["processed_count"], stats["error_count"]) == (7, 3)
    assert stats["cache_stats"] == {"entries": 5, "hits": 0, "misses": 7}
    assert set(stats["seconds"]) == {"faces", "embeddings", "attributes", "text_labels"}


def test_the_answers_are_those_of_the_stages(config, pictures):
    pipeline, store = make(config), fs.Store(config.data_dir)
    images = fs.list_images(pictures[0].parent)
    faces = fs.align_faces(images, FakeLandmarker(), store.crops_dir)
    vectors = fs.embed_faces(faces, FakeEncoder(), store.crops_dir, raw_dir=pictures[0].parent)
    labels = fs.label_attributes(vectors, FakeEncoder(), config.attributes)
    paths = [Path(p) for p in images["path"]]
    for row, result in zip(labels.iter_rows(named=True), pipeline.process_batch(paths), strict=True):
        for name in config.attributes:
            assert result.attributes[name].value == row[name]
            assert result.attributes[name].score == pytest.approx(row[f"{name}_score"], abs=1e-4)
            assert list(result.attributes[name].probs.values()) == pytest.approx(
                row[f"{name}_probs"], abs=1e-4
            )


def test_a_result_prints_as_the_line_of_json_that_is_documented(config, pictures):
    result = make(config).process_image(pictures[0], id="7")
    line = json.loads(str(result))
    assert list(line) == ["id", "attributes", "processing_time", "error", "model", "warning"]
    assert (line["model"], line["warning"]) == ({"picture": FakeEncoder.name}, None)
    assert list(line["attributes"]) == [a.title for a in config.attributes.values()]
    assert json.loads(result.attributes.to_json()) == line["attributes"]
    scores = result.to_dict(scores=True)["scores"]["Hair_Color"]
    assert scores["value"] == line["attributes"]["Hair_Color"]
    assert sum(scores["probs"].values()) == pytest.approx(1, abs=1e-5)


def test_results_and_pipelines_print_short(config, pictures):
    pipeline = make(config)
    result = pipeline.process_text("an elderly person with red hair", id="7")
    n = len(config.attributes)
    assert repr(pipeline) == f"CharacterPipeline({n} attributes, cache='{config.data_dir / 'cache.db'}')"
    assert repr(make(config, use_cache=False)) == f"CharacterPipeline({n} attributes, no cache)"
    assert repr(result).startswith("CharacterResult('7', ok, Attributes(Age=elderly, ")
    assert repr(Item("a", bytes(1_000_000))) == "Item('a', image=<1,000,000 bytes>, text=None)"


def test_an_answer_is_remembered_by_content_not_by_name(config, pictures, tmp_path):
    pipeline = make(config)
    place = tmp_path / "same.jpg"
    answers = []
    for picture in pictures[:2]:
        place.write_bytes(picture.read_bytes())
        answers.append(pipeline.process_image(place))
    assert [a.cached for a in answers] == [False, False], "two pictures of one name"
    (tmp_path / "other.jpg").write_bytes(pictures[0].read_bytes())
    again = pipeline.process_image(tmp_path / "other.jpg")
    assert again.cached
    assert again.attributes == answers[0].attributes
    assert make(config).process_image(pictures[1]).cached, "after a restart"
    assert pipeline.get_stats()["cache_stats"]["entries"] == 2


class Other(FakeEncoder):
    name = "fake-clip@2"


def test_another_model_prompt_or_crop_never_gets_an_old_answer(config, pictures):
    make(config).process_image(pictures[0])
    hair = config.attributes["hair_color"].model_copy(update={"image_templates": ("a drawing of {}.",)})
    prompts = config.model_copy(update={"attributes": {**config.attributes, "hair_color": hair}})
    crops = config.model_copy(update={"faces": config.faces.model_copy(update={"crop_size": 128})})
    for changed, models in ((config, {"encoder": Other()}), (prompts, {}), (crops, {})):
        assert not make(changed, **models).process_image(pictures[0]).cached
    assert make(config).process_image(pictures[0]).cached


def test_without_a_cache_nothing_is_written(config, pictures):
    pipeline = make(config, use_cache=False)
    assert not [pipeline.process_image(pictures[0]).cached for _ in range(2)][1]
    assert not (config.data_dir / "cache.db").exists()


def test_where_there_is_nothing_to_label_no_model_is_touched(config, tmp_path):
    (tmp_path / "folder").mkdir()
    pipeline = make(config, landmarker=object(), encoder=object(), classifier=object())
    gone, folder = tmp_path / "gone.png", tmp_path / "folder"
    items = [gone, Item("folder", folder), Item("nothing"), Item("blank", gone, " \t"), Item("none", b"", "")]
    results = pipeline.process_batch(items[:4])
    assert [r.status for r in results] == ["vanished", "not_regular_file", "empty", "vanished"]
    assert results[0].error == "there is no such file; check the path"
    assert not any(r.cached or any(r.to_dict()["attributes"].values()) for r in results)
    assert [make(config).process_batch([item])[0].status for item in items][:4] == [r.status for r in results]
    with pytest.raises(TypeError, match="object"):
        pipeline.process_batch(items)


def test_the_recipe_is_described_once_for_a_batch(config):
    class Named(FakeEncoder):
        asked = 0

        @property
        def name(self):
            Named.asked += 1
            return "fake-clip@1"

    pipeline = make(config, encoder=Named())
    pipeline.process_text("somebody")
    counts = []
    for n in (1, 20):
        Named.asked = 0
        pipeline.process_batch([Item(str(i), None, f"{n} and {i}") for i in range(n)])
        counts.append(Named.asked)
    assert counts[0] == counts[1]


def test_aligned_faces_are_handed_out_while_they_are_there(config, pictures, tmp_path):
    ledger, faces = Ledger(tmp_path / "ledger"), {}
    pipeline = make(config, landmarker=ledger)
    items = [Item("said", None, "a man"), pictures[0], b"no picture", pictures[1], pictures[0]]

    def keep(place, crop, points):
        faces[place] = draw_landmarks(crop, points)

    results = pipeline.process_batch(items, on_face=keep)
    assert [r.status for r in results] == ["ok", "ok", "not_image", "ok", "ok"]
    assert sorted(faces) == [1, 3, 4]
    assert ledger.file.read_text() == "..", "two pictures, each aligned once"
    for place, face in faces.items():
        assert face.tobytes() == pipeline.labeller.show_face(items[place].read_bytes()).tobytes()
    assert faces[1].tobytes() != faces[3].tobytes()
    again = {}
    assert all(
        r.cached for r in pipeline.process_batch([pictures[0]], on_face=lambda *face: again.update([face]))
    )
    assert again == {}


def test_faces_keep_their_place_where_a_batch_fails(config, pictures):
    places = []
    items = [Item("a", pictures[0]), Item("b", pictures[1], "boom"), Item("c", pictures[2])]
    results = make(config, classifier=Moody()).process_batch(items, on_face=lambda i, *_: places.append(i))
    assert [r.status for r in results] == ["ok", "model_error", "ok"]
    assert places == [0, 2]


def test_equal_inputs_of_a_batch_are_computed_once(config, pictures):
    class Counting(FakeEncoder):
        seen = 0

        def encode_images(self, pixels):
            Counting.seen += len(pixels)
            return super().encode_images(pixels)

    results = make(config, encoder=Counting()).process_batch([pictures[0]] * 5)
    assert Counting.seen == 2, "one face, one whole picture"
    assert len({r.to_json(scores=True) for r in results}) == 1


class Moody(FakeTextClassifier):
    def score(self, texts, hypotheses):
        if any("boom" in text for text in texts):
            msg = "cannot read this"
            raise RuntimeError(msg)
        return super().score(texts, hypotheses)


def test_a_model_that_fails_on_one_input_costs_only_that_one(config):
    texts = [Item("a", None, "a man"), Item("b", None, "boom"), Item("c", None, "a woman")]
    results = make(config, classifier=Moody()).process_batch(texts)
    assert [r.status for r in results] == ["ok", "model_error", "ok"]
    assert "RuntimeError" in results[1].error


class Passing(FakeEncoder):
    """Fails a given number of times, and then works again."""

    def __init__(self, *failures):
        self.failures = list(failures)

    def encode_images(self, pixels):
        vectors = super().encode_images(pixels)
        if not self.failures:
            return vectors
        if isinstance(failure := self.failures.pop(0), Exception):
            raise failure
        return vectors * failure


class Shaky(FakeLandmarker):
    def find(self, pixels):
        msg = "no graph in /srv/secret/models"
        raise RuntimeError(msg)


@pytest.mark.parametrize("failure", [RuntimeError("CUDA out of memory: /srv/secret"), np.float32(np.nan)])
def test_a_passing_fault_is_no_answer_for_ever(config, pictures, caplog, failure):
    pipeline = make(config, encoder=Passing(failure))
    with caplog.at_level(logging.WARNING):
        first = pipeline.process_image(pictures[0], text="a child")
    again = pipeline.process_image(pictures[0], text="a child")
    assert (first.status, again.status, again.cached) == ("model_error", "ok", False)
    assert first.error
    assert again.attributes["age"].image is not None
    assert "secret" not in first.to_json(scores=True)
    assert not isinstance(failure, Exception) or "secret" in caplog.text, "the log has all of it"
    assert pipeline.process_image(pictures[0], text="a child").cached


def test_a_landmark_model_that_fails_tells_the_log_what_it_says(config, pictures, caplog):
    with caplog.at_level(logging.WARNING):
        result = make(config, landmarker=Shaky()).process_image(pictures[0])
    assert (result.status, result.error) == (
        "model_error",
        "the landmark model failed (RuntimeError); try again",
    )
    assert "/srv/secret" in caplog.text
    assert not make(config, landmarker=Shaky()).process_image(pictures[0]).cached


def test_answers_of_an_earlier_version_are_not_read_again(config, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr("facestats.surfaces.pipeline.stages.VERSION", 1)
        make(config).process_text("a man")
    assert not make(config).process_text("a man").cached
    assert make(config).process_text("a man").cached


class Full(FakeTextClassifier):
    def score(self, texts, hypotheses):
        raise OSError(errno.ENOSPC, "No space left on device", "/srv/secret")


def test_a_fault_of_the_machine_is_no_fault_of_the_input(config, pictures, monkeypatch):
    with pytest.raises(OSError, match="No space left"):
        make(config, classifier=Full()).process_batch([Item("a", None, "a man"), Item("b", None, "a woman")])
    monkeypatch.setattr(tempfile, "tempdir", "/srv/secret/gone")
    with pytest.raises(OSError, match="set TMPDIR") as caught:
        make(config).process_image(pictures[0])
    assert not isinstance(caught.value, FileNotFoundError), "which would be a missing input"


def test_a_picture_alone_needs_no_text_model(config, pictures):
    class Missing:
        @property
        def name(self):
            msg = "no text model here"
            raise ModelError(msg)

    assert make(config, classifier=Missing()).process_image(pictures[0]).error is None


def test_a_missing_model_is_an_error_not_an_answer(config, pictures):
    class Missing(FakeTextClassifier):
        def score(self, texts, hypotheses):
            msg = "the model cannot be had"
            raise ModelError(msg)

    with pytest.raises(ModelError):
        make(config, classifier=Missing()).process_text("a man")


def test_threads_share_a_pipeline(config):
    pipeline = make(config)
    answers: dict[int, str] = {}

    def ask(i):
        answers[i] = pipeline.process_text(f"person {i % 4} has red hair").to_dict()["attributes"][
            "Hair_Color"
        ]

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers.values()) == {"red"}
    assert len(answers) == pipeline.get_stats()["processed_count"] == 12


def promote(config, *, encoder=FakeEncoder.name, options=None, promoted=True, name="probes@1"):
    """Save a probe of hair_color as notebook 03 does; it always answers red, and was trained on picture 000000."""
    options = options or tuple(config.attributes["hair_color"].options)
    bias = np.array([2.0 if option == "red" else 0.0 for option in options], np.float32)
    weights = np.zeros((len(options), FakeEncoder.dim), np.float32)
    held_out = np.eye(1, len(options), dtype=np.float32)
    probe = Probe(options, config.attributes["hair_color"].view, weights, bias, held_out, ("000000",))
    report = pl.DataFrame([{"attribute": "hair_color", "promoted": promoted}], schema=REPORT)
    probes = Probes(name, encoder, {"hair_color": probe}, report, pl.DataFrame(schema=CURVE))
    probes.save(fs.Store(config.data_dir).tables_dir / "probes.safetensors")
    return probes


def test_a_promoted_probe_labels_as_it_does_in_the_notebooks(config, pictures):
    before = make(config).process_image(pictures[0], text="black hair")
    probes = promote(config)
    images = fs.list_images(pictures[0].parent)
    faces = fs.align_faces(images, FakeLandmarker(), config.data_dir / "crops")
    vectors = fs.embed_faces(faces, FakeEncoder(), config.data_dir / "crops", raw_dir=pictures[0].parent)
    labels = fs.label_attributes(vectors, FakeEncoder(), config.attributes, probes=probes)
    texts = images.select("image_id", text=pl.lit("black hair"))
    said = fs.label_texts(texts, FakeTextClassifier(), config.attributes)
    row = fs.merge_master(faces, attributes=labels, text_labels=said).row(0, named=True)
    pipeline = make(config)
    result = pipeline.process_image(pictures[0], text="black hair")
    assert not result.cached, "the probe is part of the recipe"
    for name, label in result.attributes.labels.items():
        assert label.source == row[f"{name}_source"], name
        assert (label.value, label.image, label.text, label.conflict) == (
            row[name],
            row[f"image_{name}"],
            row[f"text_{name}"],
            row[f"{name}_conflict"],
        )
        assert label.score == pytest.approx(row[f"{name}_score"], abs=1e-4)
    hair = result.attributes["hair_color"]
    assert (hair.value, hair.source, hair.conflict) == ("red", "probe", True)
    assert list(hair.probs.values()) == pytest.approx(row["probe_hair_color_probs"], abs=1e-4)
    assert hair.image == before.attributes["hair_color"].image
    assert "the picture says <b>red</b>, the text <b>black</b>" in draw_answer(result)
    assert make(config).process_image(pictures[0], text="black hair").cached
    promote(config, name="probes@2")
    assert not make(config).process_image(pictures[0], text="black hair").cached


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"promoted": False}, None),
        ({"encoder": "another"}, "read vectors of 'another'"),
        ({"options": ("red", "green")}, "knows the options ['red', 'green']"),
    ],
)
def test_probes_that_do_not_belong_here_are_left_out_with_a_warning(
    config, pictures, caplog, change, warning
):
    before = make(config).process_image(pictures[0])
    promote(config, **change)
    with caplog.at_level(logging.WARNING):
        after = make(config).process_image(pictures[0])
    assert after.cached
    assert after.attributes == before.attributes
    assert (warning in caplog.text) if warning else not caplog.text


def test_settings_may_come_from_a_file(tmp_path):
    text = (ROOT / "config" / "demo.yaml").read_text().replace("../data/demo", str(tmp_path))
    file = tmp_path / "config.yaml"
    file.write_text(text.replace("attributes.yaml", str(ROOT / "config" / "attributes.yaml")))
    assert isinstance(fs.CharacterPipeline(file).config, Config)
