"""Notebook, pipeline, command line, page and service give the same answer."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import facestats as fs
from facestats.surfaces.pipeline.pipeline import Item

pytestmark = pytest.mark.slow
TOLERANCE = 1e-4


def differences(answer, row, attributes):
    """Where an answer as JSON differs from a row of master: attribute, found, wanted."""
    found = []
    for name, attribute in attributes.items():
        label = answer["scores"][attribute.title]
        said = [label["value"], label["source"], label["image"], label["text"]]
        wanted = [row[name], row[f"{name}_source"], row[f"image_{name}"], row[f"text_{name}"]]
        numbers = [label["score"], *label["probs"].values()]
        stored = [row[f"{name}_score"], *row[f"{name}_probs"]]
        if said != wanted or numbers != pytest.approx(stored, abs=TOLERANCE):
            found.append((name, said + numbers, wanted + stored))
    return found


@pytest.fixture(scope="module")
def case(demo):
    """A drawn character with a caption: configuration file, settings, row of master, file, text."""
    cfg = fs.load_config(demo[0])
    master = fs.Store(cfg.data_dir).read("master")
    texts = dict(fs.list_captions(cfg.raw_dir).drop_nulls("text").iter_rows())
    row = next(r for r in master.drop_nulls("crop").iter_rows(named=True) if r["image_id"] in texts)
    return demo[0], cfg, row, cfg.raw_dir / row["image_id"], texts[row["image_id"]]


def test_the_pipeline(case):
    config, cfg, row, picture, text = case
    pipeline = fs.CharacterPipeline(config, use_cache=False)
    assert not differences(
        pipeline.process_image(picture, text=text).to_dict(scores=True), row, cfg.attributes
    )
    others = sorted(cfg.raw_dir.glob("character_*"))[:5]
    among = pipeline.process_batch([*others, Item("it", picture, text)])[-1]
    assert not differences(among.to_dict(scores=True), row, cfg.attributes)


def test_the_command_line(case):
    config, cfg, row, picture, text = case
    start = [
        sys.executable,
        "-c",
        "from facestats.surfaces.cli.commands import main; main()",
        "extract",
        "--no-cache",
    ]
    options = ["--image", str(picture), "--text", text, "--scores", "--config", str(config)]
    run = subprocess.run([*start, *options], capture_output=True, text=True, check=True)
    assert not differences(json.loads(run.stdout), row, cfg.attributes)


def test_the_page(case):
    pytest.importorskip("gradio", reason="the page is an extra: pip install 'facestats[app]'")
    from facestats.surfaces.page.app import label_character

    config, cfg, row, picture, text = case
    pipeline = fs.CharacterPipeline(config, use_cache=False)
    face, shown, answer = label_character(pipeline, picture.read_bytes(), text)
    assert not differences(json.loads(answer), row, cfg.attributes)
    assert face.size == (512, 512)
    share = max(row[f"{next(iter(cfg.attributes))}_probs"])
    assert f'<i style="width:{share:.1%}"></i>' in shown


def test_the_service(case):
    pytest.importorskip("fastapi", reason="the service is an extra: pip install 'facestats[service]'")
    from fastapi.testclient import TestClient

    from facestats.surfaces.service.api import create_app

    config, cfg, row, picture, text = case
    with TestClient(create_app(fs.CharacterPipeline(config, use_cache=False))) as client:
        files = {"image": (picture.name, picture.read_bytes())}
        response = client.post("/extract", files=files, data={"text": text, "scores": "true"})
    assert response.status_code == 200
    assert not differences(response.json(), row, cfg.attributes)
