"""The web page over HTTP, without a browser."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path

import polars as pl
import pytest

import facestats as fs
from facestats.testing import FakeEncoder, FakeLandmarker, FakeTextClassifier, draw_faces

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def gr():
    """Gradio; without it, what asks for it is skipped."""
    return pytest.importorskip("gradio", reason="the page is an extra: pip install 'facestats[app]'")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A pipeline of stand-ins, and the tables of a run over 16 drawn faces."""
    folder = tmp_path_factory.mktemp("project")
    draw_faces(folder / "raw", n=16)
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
    """Somebody who speaks to the page of `project` without a browser."""
    with pytest.MonkeyPatch.context() as patch:
        uploads = tmp_path_factory.mktemp("uploads")
        patch.setenv("GRADIO_TEMP_DIR", str(uploads))
        from facestats.surfaces.page.app import launch

        page = launch(project, host="127.0.0.1", port=None, wait=False)
        yield Visitor(page.local_url, uploads)
        page.close(verbose=False)


class Visitor:
    """Calls what the buttons of the page call; `http` for everything else."""

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
        """Send a file as the page does; return what the page calls it by."""
        response = self.http.post("/gradio_api/upload", files={"files": (name, content)})
        response.raise_for_status()
        (path,) = response.json()
        return {**self.file_at(path), "orig_name": name}

    @staticmethod
    def file_at(path):
        """Say of any path or address that it is an upload."""
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    @staticmethod
    def leaks(text):
        """Tell whether an answer says what is none of a visitor's business."""
        return any(
            word in text for word in ("Traceback", 'File "', "site-packages", str(Path.home()), "root:x:")
        )

    def ask(self, event, *data):
        """Call a function of the page; return the HTTP status, what came out, and what the page says is wrong."""
        session = uuid.uuid4().hex
        body = {"data": data, "fn_index": self.functions[event], "session_hash": session}
        # json.dumps writes what httpx would refuse: half a surrogate pair
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
