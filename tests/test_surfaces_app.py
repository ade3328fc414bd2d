from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from browser import FLAGS, chromium, needs_browser

import facestats as fs
from facestats.core.config import ConfigError
from facestats.core.testing import FakeEncoder, FakeLandmarker, FakeTextClassifier, draw_faces
from facestats.surfaces.gallery import Gallery
from facestats.surfaces.server import open_page

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A pipeline of stand-ins, and the tables of a run over 16 drawn faces."""
    folder = tmp_path_factory.mktemp("project")
    draw_faces(folder / "raw", n=16)
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
        pl.col("cluster").cast(pl.Int32), x=pl.int_range(pl.len()).cast(pl.Float32), y=pl.lit(0.0, pl.Float32)
    )
    assert known.height >= 4
    store.write("clusters", points)
    return fs.CharacterPipeline(config, **models)


def test_the_gallery_filters_searches_marks_and_averages(project):
    gallery = Gallery.open(project.config)
    everybody = gallery.choose({"age": None, "gender": ""})
    assert everybody.height == gallery.master.height > 0
    age = str(everybody["age"][0])
    some = gallery.choose({"age": age})
    assert some["age"].cast(pl.String).unique().to_list() == [age]
    ranked = gallery.search(some, "a person laughing", encoder=project.encoder, top=3)
    assert ranked["similarity"].is_sorted(descending=True)
    assert set(ranked["image_id"]) <= set(some["image_id"])
    assert (gallery.mark(some)["selection"] == "selected").sum() == some.height
    assert len(gallery.thumbnails(everybody, limit=2)) == 2
    assert gallery.average(everybody).size == (512, 512)
    with pytest.raises(ValueError, match="3"):
        gallery.average(everybody.head(1))


def test_without_a_run_there_is_no_gallery(tmp_path, project):
    assert Gallery.open(project.config.model_copy(update={"data_dir": tmp_path})) is None


def test_other_machines_need_a_password(project, monkeypatch):
    monkeypatch.delenv("FACESTATS_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match=r"FACESTATS_PASSWORD.*--i-know"):
        open_page(project, host="0.0.0.0", port=7860)


def test_a_character_gets_face_bars_conflicts_and_json(project):
    gr = pytest.importorskip("gradio", reason="the page is an extra: pip install 'facestats[app]'")
    from facestats.surfaces.app import label_character

    picture = next(p for p in (project.config.raw_dir).rglob("*.*") if p.is_file()).read_bytes()
    seen = project.process_image(picture).attributes["age"].value
    other = next(
        o for o in project.config.attributes["age"].options if o != seen and " " not in o and "-" not in o
    )
    face, summary, bars, answer = label_character(project, picture, f"an {other} person")
    assert face.size == (512, 512)
    assert "disagree" in summary
    assert f"**{other}**" in summary
    assert sum(bars[0].values()) == pytest.approx(1, abs=1e-4)
    assert json.loads(answer)["attributes"]["Age"] == seen
    for content, text in ((None, " "), (None, "x" * 9000)):
        with pytest.raises(gr.Error):
            label_character(project, content, text)
    face, summary, _, _ = label_character(project, b"<b>no picture</b>", "")
    assert face is None
    assert "<b>" not in summary


@pytest.mark.slow
@needs_browser
def test_the_page_in_a_browser(project, tmp_path):
    pytest.importorskip("gradio", reason="the page is an extra: pip install 'facestats[app]'")
    from playwright.sync_api import expect, sync_playwright

    from facestats.surfaces.app import create_page

    raw = project.config.raw_dir
    picture = next(p for p in raw.rglob("*.*") if p.is_file())
    seen = project.process_image(picture).attributes["age"].value
    other = "child" if seen != "child" else "elderly"
    page = create_page(project)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, server_port=None)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            view = browser.new_page(viewport={"width": 1400, "height": 1300})
            view.goto(url)
            view.locator("#picture input[type=file]").set_input_files(picture)
            view.locator("#text textarea").fill(f"this is a {other}")
            view.locator("#label").click()
            expect(view.locator("#summary")).to_contain_text("disagree", timeout=60_000)
            expect(view.locator("#summary")).to_contain_text(other)
            expect(view.locator("#face img")).to_be_visible()
            expect(view.locator("#json")).to_contain_text(seen)
            view.screenshot(path=tmp_path / "character.png")
            view.get_by_role("tab", name="Gallery").click()
            view.locator("#show").click()
            expect(view.locator("#count")).to_contain_text("faces", timeout=60_000)
            expect(view.locator("#faces img").first).to_be_visible()
            view.locator("#average").click()
            expect(view.locator("#mean img")).to_be_visible(timeout=60_000)
            view.screenshot(path=tmp_path / "gallery.png")
            browser.close()
    finally:
        page.close()
    assert all((tmp_path / f"{name}.png").stat().st_size > 20_000 for name in ("character", "gallery"))
