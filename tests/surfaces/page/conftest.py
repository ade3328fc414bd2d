"""The web page over HTTP, without a browser."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import uuid
from pathlib import Path

import polars as pl
import pytest

import facestats as fs
from facestats.testing import FakeEncoder, FakeLandmarker, FakeTextClassifier, draw_faces

ROOT = Path(__file__).parents[3]
# gradio leaves event loops and sockets open, and sets an option that pandas has deprecated
GRADIO_WARNINGS = ("ignore:unclosed:ResourceWarning", "ignore:.*no_silent_downcasting:DeprecationWarning")


def pytest_collection_modifyitems(items):
    """Accept the warnings of gradio in the tests of this folder."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for warning in GRADIO_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="module", autouse=True)
def collect_what_gradio_leaves():
    """Delete the open event loops here, where their warnings are accepted, and not during a later test."""
    yield
    asyncio.set_event_loop(None)  # gradio has set one of its own
    gc.collect()


@pytest.fixture(scope="session")
def gr():
    """Gradio; tests that need it are skipped if it is not installed."""
    return pytest.importorskip("gradio", reason="the page is an extra: pip install 'facestats[app]'")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A pipeline of stand-ins, and the tables of a run on 16 drawn faces."""
    folder = tmp_path_factory.mktemp("project")
    draw_faces(folder / "raw", n_faces=16)
    if sys.platform != "win32":  # which knows no such names
        (folder / "raw" / "face_003.png").rename(folder / "raw" / "<img src=x onerror=window.hit=1>.png")
    config = fs.load_config(ROOT / "config" / "demo.yaml").model_copy(
        update={"data_dir": folder, "raw_dir": folder / "raw"}
    )
    encoder = FakeEncoder()
    models = {"landmarker": FakeLandmarker(), "encoder": encoder, "classifier": FakeTextClassifier()}
    store = fs.Store(folder)
    faces = store.build(
        "faces",
        fs.list_images(folder / "raw"),
        fs.align_faces,
        landmarker=models["landmarker"],
        crops_dir=store.crops_dir,
    )
    vectors = store.build(
        "embeddings",
        faces,
        fs.embed_faces,
        encoder=encoder,
        crops_dir=store.crops_dir,
        raw_dir=folder / "raw",
    )
    labels = store.build(
        "attributes", vectors, fs.label_attributes, encoder=encoder, attributes=config.attributes
    )
    store.write("master", fs.merge_master(faces, attributes=labels))
    known = vectors.drop_nulls("embedding")
    points = pl.DataFrame({"image_id": vectors["image_id"], "cluster": [0] * vectors.height}).with_columns(
        pl.col("cluster").cast(pl.Int32),
        x=pl.int_range(pl.len()).cast(pl.Float32),
        **dict.fromkeys(("y", "pca_x", "pca_y"), pl.lit(0.0, pl.Float32)),
    )
    assert known.height >= 4
    store.write("clusters", points)
    return fs.CharacterPipeline(config, **models)


@pytest.fixture(scope="module")
def visitor(project, gr, tmp_path_factory):
    """A client that talks to the page of `project` without a browser."""
    with pytest.MonkeyPatch.context() as patch:
        uploads = tmp_path_factory.mktemp("uploads")
        patch.setenv("GRADIO_TEMP_DIR", str(uploads))
        from facestats.surfaces.page.app import launch

        page = launch(project, host="127.0.0.1", port=None, wait=False)
        yield Visitor(page.local_url, uploads)
        page.close(verbose=False)


class Visitor:
    """Calls the functions behind the buttons of the page; `http` sends any other request."""

    def __init__(self, url, uploads):
        import httpx

        self.url, self.uploads = url, uploads
        self.http = httpx.Client(base_url=url, timeout=120)
        config = self.http.get("/config").json()
        names = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
        # "label.click", "query.submit", "average.click" -> number of the function
        self.functions = {
            f"{names.get(part)}.{event}": function["id"]
            for function in config["dependencies"]
            for part, event in function["targets"]
        }
        self.n_filters = sum((name or "").startswith("filter-") for name in names.values())

    def upload(self, content, name="x.png"):
        """Send a file as the page does; return how the page refers to it."""
        response = self.http.post("/gradio_api/upload", files={"files": (name, content)})
        response.raise_for_status()
        (path,) = response.json()
        return {**self.file_at(path), "orig_name": name}

    @staticmethod
    def file_at(path):
        """Refer to any path or address as if it were an upload."""
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    @staticmethod
    def leaks(text):
        """Tell whether an answer shows something of the server, such as a traceback or a folder."""
        return any(
            word in text for word in ("Traceback", 'File "', "site-packages", str(Path.home()), "root:x:")
        )

    def ask(self, event, *data):
        """Call a function of the page; return the HTTP status, its output, and its error."""
        session = uuid.uuid4().hex
        body = {"data": data, "fn_index": self.functions[event], "session_hash": session}
        # json.dumps can write half a surrogate pair, which httpx refuses
        headers = {"Content-Type": "application/json"}
        joined = self.http.post("/gradio_api/queue/join", content=json.dumps(body), headers=headers)
        if joined.status_code != 200:
            return joined.status_code, None, joined.text
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as events:
            for line in events.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    output = message["output"]
                    return 200, output.get("data"), output.get("error")
        return 200, None, "the page went silent"
