from __future__ import annotations

import asyncio
import errno
import io
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import facestats as fs
from facestats.core.config import ConfigError
from facestats.core.protocols import ModelError
from facestats.surfaces.service.start import serve
from facestats.testing import FakeEncoder, FakeLandmarker, FakeTextClassifier, draw_faces

pytest.importorskip("fastapi", reason="the service is an extra: pip install 'facestats[service]'")

from fastapi.testclient import TestClient

from facestats.surfaces.service import api, schemas

ROOT = Path(__file__).parents[3]


class Blind(FakeLandmarker):
    name = "blind@1"

    def find(self, pixels):
        return []


def make(tmp_path, **models):
    config = fs.load_config(ROOT / "config" / "demo.yaml").model_copy(update={"data_dir": tmp_path / "data"})
    fakes = {"landmarker": FakeLandmarker(), "encoder": FakeEncoder(), "classifier": FakeTextClassifier()}
    return fs.CharacterPipeline(config, **{**fakes, **models})


@pytest.fixture(scope="module")
def face(tmp_path_factory):
    folder = tmp_path_factory.mktemp("face")
    draw_faces(folder, n_faces=1)
    return next(p for p in folder.rglob("*.*") if p.is_file()).read_bytes()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return make(tmp_path_factory.mktemp("service"))


@pytest.fixture(scope="module")
def client(pipeline):
    with TestClient(api.create_app(pipeline)) as client:
        yield client


def picture(size=(40, 40), kind="PNG"):
    stream = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(stream, kind)
    return stream.getvalue()


def test_picture_text_and_both_are_answered_as_the_pipeline_answers(client, pipeline, face):
    text = "an elderly person with red hair"
    for files, data, direct in (
        ({"image": ("a.jpg", face)}, {}, pipeline.process_image(face)),
        (None, {"text": text}, pipeline.process_text(text)),
        ({"image": ("a.jpg", face)}, {"text": text}, pipeline.process_image(face, text=text)),
    ):
        response = client.post("/extract", files=files, data={**data, "scores": "true"})
        assert response.status_code == 200
        expected = direct.to_dict(scores=True)
        assert {k: response.json()[k] for k in ("attributes", "scores", "error", "status")} == {
            k: expected[k] for k in ("attributes", "scores", "error", "status")
        }


@pytest.mark.parametrize(
    ("content", "code", "status"),
    [
        (b"plain text", 415, "not_image"),
        (b"", 422, "empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_format"),
        (picture()[:60], 422, "truncated"),
        (picture((4, 4)), 422, "too_small"),
    ],
)
def test_bad_pictures_get_the_status_word_of_the_tables(client, content, code, status):
    response = client.post("/extract", files={"image": ("x.png", content)})
    assert (response.status_code, response.json()["status"]) == (code, status)
    assert "/tmp" not in response.text


def test_a_picture_without_a_face_is_an_answer(tmp_path):
    with TestClient(api.create_app(make(tmp_path, landmarker=Blind()))) as client:
        response = client.post("/extract", files={"image": ("x.png", picture())})
    assert response.status_code == 200
    assert response.json()["status"] == "no_face"
    assert response.json()["attributes"]["Dress"] is not None, "read from the whole picture"


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device: /srv/secret"), "(No space left on device)"),
        (OSError("no folder below /srv/secret"), "(OSError)"),
        (MemoryError("/srv/secret"), "no memory left"),
    ],
)
def test_a_fault_of_the_machine_is_no_fault_of_the_request(tmp_path, fault, sentence):
    class Ill(FakeTextClassifier):
        def score(self, texts, hypotheses):
            raise fault

    with TestClient(api.create_app(make(tmp_path, classifier=Ill()))) as client:
        response = client.post("/extract", data={"text": "a man"})
    assert response.status_code == 503
    assert sentence in response.json()["detail"]
    assert "secret" not in response.text
    assert response.headers["Retry-After"]


def test_a_batch_keeps_its_order_and_reports_failures(client, face):
    files = [("images", ("a.jpg", face)), ("images", ("b.jpg", b"broken"))]
    response = client.post("/extract/batch", files=files, data={"texts": ["red hair"]})
    answers = response.json()
    assert [a["id"] for a in answers] == ["a.jpg", "b.jpg", "text 1"]
    assert [a["error"] is None for a in answers] == [True, False, True]


def test_equal_names_in_a_batch_get_ids_of_their_own(client, face):
    files = [("images", ("a.jpg", face)), ("images", ("a.jpg", b"broken")), ("images", ("text 1", face))]
    answers = client.post("/extract/batch", files=files, data={"texts": ["red hair"]}).json()
    assert [a["id"] for a in answers] == ["a.jpg", "a.jpg-2", "text 1", "text 1-2"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"data": {}}, 422),
        ({"data": {"text": " "}}, 422),
        ({"data": {"text": "x" * (schemas.MAX_TEXT + 1)}}, 422),
        ({"data": {"text": "a man", "score": "true"}}, 422),
        ({"json": {"image": "http://169.254.169.254/"}}, 415),
        ({"files": {"image": ("big.png", b"\0" * (schemas.MAX_BODY + 1))}}, 413),
        ({"content": b"garbage", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400),
    ],
)
def test_requests_that_cannot_be_answered_say_why(client, arguments, code):
    response = client.post("/extract", **arguments)
    assert response.status_code == code, response.text
    assert code == 413 or response.json()["detail"]
    assert response.text


def test_too_many_inputs_are_refused(client):
    files = [("images", (f"{i}.png", b"x")) for i in range(schemas.MAX_INPUTS + 1)]
    assert client.post("/extract/batch", files=files).status_code in {400, 413}
    assert client.post("/extract/batch").status_code == 422


@pytest.mark.parametrize(
    "name", ["../../etc/cron.d/x", "C:\\boot.ini", "a\0b\u202ec", "x" * 5000, "<script>"]
)
def test_a_file_name_is_text_to_show_and_nothing_else(client, face, name):
    response = client.post("/extract", files={"image": (name, face)})
    assert response.status_code in {200, 400}
    shown = response.json().get("id", "")
    assert "/" not in shown
    assert "\\" not in shown
    assert len(shown) <= 200


def test_a_key_is_asked_for_where_one_is_set(tmp_path):
    with TestClient(api.create_app(make(tmp_path), api_key="secret")) as client:
        assert client.post("/extract", data={"text": "a man"}).status_code == 401
        assert (
            client.post("/extract", data={"text": "a man"}, headers={"X-API-Key": "guess"}).status_code == 401
        )
        assert (
            client.post("/extract", data={"text": "a man"}, headers={"X-API-Key": "secret"}).status_code
            == 200
        )
        assert client.get("/health").status_code == 200


def test_other_machines_need_a_key(tmp_path, monkeypatch):
    monkeypatch.delenv("FACESTATS_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"FACESTATS_API_KEY.*--i-know"):
        serve(make(tmp_path), host="0.0.0.0", port=8000, batch_size=4)


def test_health_readiness_attributes_metrics_and_documentation(client):
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").status_code == 200
    assert client.get("/attributes").json()["Hair_Length"] == ["bald", "short", "medium", "long"]
    client.post("/extract", data={"text": "a man"})
    told = client.get("/metrics").text
    assert 'facestats_requests_total{code="200",path="/extract"}' in told
    assert "facestats_processed" in told
    assert "/extract/batch" in client.get("/openapi.json").json()["paths"]


def wait_for(client, code):
    """Wait until /ready has this status code; return its answer."""
    end = time.monotonic() + 60
    while (response := client.get("/ready")).status_code != code or "being loaded" in response.text:
        assert time.monotonic() < end, response.text
        time.sleep(0.05)
    return response.json()


class Recovering(FakeEncoder):
    """Fails until the test repairs it."""

    def __init__(self, illness):
        self.illness = illness

    def encode_images(self, pixels):
        if isinstance(self.illness, BaseException):
            raise self.illness
        return super().encode_images(pixels) * self.illness


@pytest.mark.parametrize(
    ("illness", "sentence"),
    [
        (np.float32(np.nan), "a test picture cannot be labelled (model_error)"),
        (RuntimeError("CUDA error in /srv/secret"), "a test picture cannot be labelled (model_error)"),
        (ModelError("no weights in /srv/secret"), "a model cannot be loaded"),
        (OSError(errno.ENOSPC, "/srv/secret"), "No space left"),
        (pl.exceptions.PanicException("/srv/secret"), "a test picture cannot be labelled (model_error)"),
        (SystemExit("/srv/secret"), "the server failed (SystemExit)"),
    ],
)
def test_the_service_is_ready_only_with_models_that_are_well(
    tmp_path, monkeypatch, caplog, illness, sentence
):
    monkeypatch.setattr("facestats.surfaces.service.readiness.RETRY_SECONDS", 0.1)
    encoder = Recovering(illness)
    pipeline = make(tmp_path, encoder=encoder)
    with TestClient(api.create_app(pipeline)) as client:
        said = wait_for(client, 503)
        assert sentence in said["detail"]
        assert "secret" not in said["detail"]
        assert "not ready" in caplog.text
        assert client.post("/extract", data={"text": "a man"}).status_code == 200, "texts need no encoder"
        encoder.illness = 1
        assert wait_for(client, 200) == {"status": "ready"}


def test_the_models_are_tried_although_the_cache_knows_the_answer(tmp_path):
    for _ in range(2):
        pipeline = make(tmp_path)
        with TestClient(api.create_app(pipeline)) as client:
            wait_for(client, 200)
        assert {"faces", "embeddings", "text_labels"} <= set(pipeline.labeller.seconds)


def test_a_scrape_looks_once_and_off_the_event_loop(tmp_path):
    looks = []

    class Watched(fs.CharacterPipeline):
        def get_stats(self):
            with pytest.raises(RuntimeError, match="no running event loop"):
                asyncio.get_running_loop()
            looks.append(1)
            return super().get_stats()

    made = make(tmp_path)
    watched = Watched(
        made.config, landmarker=FakeLandmarker(), encoder=FakeEncoder(), classifier=FakeTextClassifier()
    )
    with TestClient(api.create_app(watched)) as client:
        client.post("/extract", data={"text": "a man"})
        told = client.get("/metrics").text
    assert len(looks) == 1
    lines = dict(line.rsplit(" ", 1) for line in told.splitlines() if not line.startswith("#"))
    assert (lines["facestats_processed"], lines["facestats_cache_entries"]) == ("1.0", "1.0")


class Pausing(FakeTextClassifier):
    """Waits at a text with the word slow until the test lets it continue."""

    def __init__(self):
        self.go = threading.Event()

    def score(self, texts, hypotheses):
        if any("slow" in text for text in texts):
            self.go.wait(20)
        return super().score(texts, hypotheses)


def test_how_long_an_answer_may_take_can_be_chosen(tmp_path):
    classifier = Pausing()
    with TestClient(api.create_app(make(tmp_path, classifier=classifier), seconds=0.5)) as client:
        wait_for(client, 200)
        response = client.post("/extract", data={"text": "slow"})
        classifier.go.set()
        assert response.status_code == 503
        assert "no answer within 0.5 seconds: send fewer inputs" in response.json()["detail"]
        assert client.post("/extract", data={"text": "quick"}).status_code == 200


def test_uploads_beyond_the_room_are_refused_until_others_are_answered(tmp_path):
    classifier, codes = Pausing(), []
    app = api.create_app(make(tmp_path, classifier=classifier), max_total_bytes=1_000_000)
    with TestClient(app) as client:

        def send(text):
            files = {"image": ("x.png", b"x" * 600_000)}
            response = client.post("/extract", files=files, data={"text": text})
            codes.append(response.status_code)
            return response

        first = threading.Thread(target=send, args=("slow",))
        first.start()
        while not app.state.batcher.busy or client.get("/ready").status_code != 200:
            time.sleep(0.02)
        refused = send("quick")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert "too many uploads" in refused.json()["detail"]
        assert client.post("/extract", data={"text": "a man"}).status_code == 200, "there is room for this"
        classifier.go.set()
        first.join()
        send("quick")
    assert codes == [503, 415, 415]


def test_a_busy_service_says_when_to_come_back(tmp_path):
    class Waiting(FakeTextClassifier):
        def score(self, texts, hypotheses):
            time.sleep(0.3)
            return super().score(texts, hypotheses)

    app = api.create_app(make(tmp_path, classifier=Waiting()), batch_size=1, max_waiting=1)
    codes: list[int] = []
    with TestClient(app) as client:

        def ask(i):
            response = client.post("/extract", data={"text": f"person {i}"})
            codes.append(response.status_code)
            if response.status_code == 503:
                assert response.headers["Retry-After"] == "1"

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(codes) == {200, 503}


class Toy(FakeEncoder):
    class domain:  # noqa: N801
        warning = "This model knows drawn faces only."
        trained_on = "drawn faces"

        @staticmethod
        def mark(embeddings):
            return embeddings.select("image_id", outside=True)


def test_toy_models_say_so_in_every_answer_and_in_the_document(tmp_path, face):
    with TestClient(api.create_app(make(tmp_path, encoder=Toy()))) as client:
        one = client.post("/extract", files={"image": ("a.png", face)}).json()
        seen, said = client.post(
            "/extract/batch", files={"images": ("a.png", face)}, data={"texts": ["red hair"]}
        ).json()
        document = client.get("/openapi.json").json()
    assert one["warning"] == seen["warning"]
    assert one["warning"].startswith(Toy.domain.warning)
    assert one["warning"].endswith("its labels mean nothing.")
    assert one["model"] == seen["model"] == {"picture": Toy.name}
    assert (said["warning"], said["model"]) == (None, {"text": FakeTextClassifier.name})
    assert Toy.domain.warning in document["info"]["description"]
    assert {"model", "warning"} <= set(document["components"]["schemas"]["Answer"]["required"])
