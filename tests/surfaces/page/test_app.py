from __future__ import annotations

import json

import polars as pl
import pytest
from PIL import Image

from facestats.core.config import ConfigError
from facestats.surfaces.page.answer_html import draw_answer
from facestats.surfaces.page.gallery import Gallery
from facestats.surfaces.page.start import open_page
from facestats.surfaces.pipeline.answers import Attributes, CharacterResult, Label
from facestats.testing import FakeEncoder, FakeTextClassifier
from tests.browser import FLAGS, chromium, needs_browser
from tests.ledger import Ledger

PATIENCE = 60_000  # milliseconds


def first_picture(project):
    return next(p for p in sorted(project.config.raw_dir.rglob("*.*")) if p.is_file())


def test_the_gallery_filters_searches_and_averages(project):
    gallery = Gallery.open(project.config)
    everybody = gallery.choose({"age": None, "gender": ""})
    assert everybody.height == gallery.master.height > 0
    age = str(everybody["age"][0])
    some = gallery.choose({"age": age})
    assert some["age"].cast(pl.String).unique().to_list() == [age]
    ranked = gallery.search(some, "a person laughing", encoder=project.encoder, top=3)
    assert ranked["similarity"].is_sorted(descending=True)
    assert set(ranked["image_id"]) <= set(some["image_id"])
    assert len(gallery.thumbnails(everybody, limit=2)) == 2
    assert gallery.average(everybody).size == (512, 512)
    with pytest.raises(ValueError, match=r"3 to 2,000 faces, these are 1"):
        gallery.average(everybody.head(1))


def test_the_sentence_counts_what_is_shown(project, monkeypatch):
    gallery = Gallery.open(project.config)
    n = gallery.choose({"age": (age := str(gallery.master["age"][0]))}).height
    for limit, words, ending in (
        (60, "", "faces"),
        (60, "old", "faces, nearest to the text first"),
        (2, "", "faces, the first 2 are shown"),
        (2, "old", "faces, the 2 nearest to the text first"),
    ):
        monkeypatch.setattr("facestats.surfaces.page.gallery.SHOWN", limit)
        rows, sentence = gallery.find({"age": age}, words, encoder=project.encoder)
        assert sentence == f"**{n}** of 16 {ending}"
        assert rows.height == (n if limit == 60 or not words else 2)
    assert gallery.find({"age": "nobody"}, "old", encoder=project.encoder)[1] == "**0** of 16 faces"


@pytest.mark.parametrize("n", [0, 1, 16])
def test_the_map_shows_all_faces_and_tells_the_chosen_from_the_others(project, n):
    gallery = Gallery.open(project.config)
    (ax,) = gallery.draw_map(gallery.master.head(n)).axes
    assert sum(len(points.get_offsets()) for points in ax.collections) == gallery.master.height
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    n_others = gallery.master.height - n
    assert legend == {0: ["others (16)"], 1: [f"others ({n_others})", "selected (1)"], 16: ["0 (16)"]}[n]


def test_a_crop_that_is_gone_is_left_out(project):
    gallery = Gallery.open(project.config)
    rows = gallery.master.head(2).with_columns(crop=pl.Series(["gone.png", gallery.master["crop"][1]]))
    assert [name for _, name in gallery.thumbnails(rows)] == [rows["image_id"][1]]


def test_without_a_run_there_is_no_gallery_and_the_page_says_what_to_do(tmp_path, project, gr):
    from facestats.surfaces.page.app import NO_RUN, create_page

    assert Gallery.open(project.config.model_copy(update={"data_dir": tmp_path})) is None
    config = project.config.model_copy(update={"data_dir": tmp_path})
    empty = type(project)(config, use_cache=False, landmarker=1, encoder=1, classifier=1)
    values = [part.get("props", {}).get("value") for part in create_page(empty).config["components"]]
    assert NO_RUN in values
    assert "`make demo`" in NO_RUN


def test_other_machines_need_a_password(project, monkeypatch):
    monkeypatch.delenv("FACESTATS_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match=r"FACESTATS_PASSWORD.*--i-know"):
        open_page(project, host="0.0.0.0", port=7860)


def test_a_character_gets_face_bars_conflicts_and_json(project, gr):
    from facestats.surfaces.page.app import label_character

    picture = first_picture(project).read_bytes()
    seen = project.process_image(picture).attributes["age"].value
    other = next(
        o for o in project.config.attributes["age"].options if o != seen and " " not in o and "-" not in o
    )
    face, shown, answer = label_character(project, picture, f"an {other} person")
    assert face.size == (512, 512)
    assert "disagree: Age." in shown
    assert f"the picture says <b>{seen}</b>, the text <b>{other}</b>" in shown
    assert "Hair color" in shown
    assert "Hair_Color" not in shown
    assert json.loads(answer)["attributes"]["Age"] == seen
    for content, text in ((None, " "), (None, "x" * 9000)):
        with pytest.raises(gr.Error):
            label_character(project, content, text)
    assert "says nothing" in label_character(project, None, "hello")[1]


def test_the_page_aligns_a_picture_once(project, gr, tmp_path):
    from facestats.surfaces.page.app import label_character

    config = project.config.model_copy(update={"data_dir": tmp_path / "data"})
    ledger = Ledger(tmp_path / "ledger")
    models = {"encoder": FakeEncoder(), "classifier": FakeTextClassifier()}
    pipeline = type(project)(config, landmarker=ledger, **models)
    picture = first_picture(project).read_bytes()
    first, _, _ = label_character(pipeline, picture, "")
    assert ledger.file.read_text() == "."
    cached, _, _ = label_character(pipeline, picture, "")
    assert cached.tobytes() == first.tobytes()
    assert ledger.file.read_text() == "..", "the cache holds no picture: it is aligned again to be shown"


def test_landmarks_are_drawn_on_any_skin(project):
    content = first_picture(project).read_bytes()
    colors = {color for _, color in project.labeller.show_face(content).getcolors(512 * 512)}
    assert {(0, 0, 0), (240, 228, 66)} <= colors


def test_nothing_in_an_answer_becomes_html():
    bad = "<img src=x onerror=alert(1)>"
    label = Label(bad, 1.0, "image", conflict=True, image=bad, text=bad, probs={bad: 1.0})
    shown = draw_answer(CharacterResult(bad, Attributes({"age": label}, {"age": bad}), "corrupt", bad, 0.1))
    assert "<img" not in shown
    assert shown.count("&lt;img") + shown.count("&lt;Img") >= 6


@pytest.fixture(scope="module")
def view(visitor):
    """The page of `visitor` in a browser, with what it asked other machines for."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        view = browser.new_page(viewport={"width": 1400, "height": 1300})
        view.outside = []
        view.on("request", lambda r: view.outside.append(r.url) if visitor.url not in r.url else None)
        view.goto(visitor.url)
        yield view
        browser.close()


def colors_of(view, place, tmp_path):
    place.screenshot(path=tmp_path / "place.png")
    return len(Image.open(tmp_path / "place.png").convert("RGB").getcolors(1 << 24))


@pytest.mark.slow
@needs_browser
def test_a_character_in_a_browser(project, view, tmp_path):
    from playwright.sync_api import expect

    picture = first_picture(project)
    evil = tmp_path / "<img src=x onerror=window.hit=1>.png"
    evil.write_bytes(picture.read_bytes())
    seen = project.process_image(picture).attributes["age"].value
    other = "child" if seen != "child" else "elderly"
    expect(view.locator("#summary")).to_contain_text("press Label")
    view.locator("#picture input[type=file]").set_input_files(evil)
    view.locator("#text textarea").fill(f"this is a {other} <img src=x onerror=window.hit=1>")
    view.locator("#label").click()
    expect(view.locator("#summary")).to_contain_text("disagree: Age", timeout=PATIENCE)
    expect(view.locator("#summary")).to_contain_text(f"the text {other}")
    expect(view.locator("#face img")).to_be_visible()
    expect(view.locator("#seen img")).to_be_visible()
    assert colors_of(view, view.locator("#face img"), tmp_path) > 50
    view.locator("#more button").first.click()
    expect(view.locator("#json")).to_contain_text(seen)
    view.wait_for_function("document.querySelector('#json').getBoundingClientRect().height < 900")
    view.locator("#picture button[aria-label=Clear]").first.click()
    view.locator("#text textarea").fill("")
    view.locator("#label").click()
    expect(view.locator("#summary")).to_contain_text("Put in a picture", timeout=PATIENCE)
    expect(view.locator("#face img")).to_have_count(0)
    (tmp_path / "notes.png").write_text("no picture")
    view.locator("#picture input[type=file]").set_input_files(tmp_path / "notes.png")
    expect(view.locator("#picture")).to_contain_text("notes")
    view.locator("#label").click()
    expect(view.locator("#summary")).to_contain_text("The file is text", timeout=PATIENCE)
    expect(view.locator("#seen img")).to_have_count(0)
    assert view.evaluate("window.hit") is None
    assert view.outside == []


@pytest.mark.slow
@needs_browser
def test_the_gallery_in_a_browser(project, view, tmp_path):
    from playwright.sync_api import expect

    gallery = Gallery.open(project.config)
    age = str(gallery.master["age"].drop_nulls()[0])
    members = gallery.choose({"age": age})["image_id"].to_list()
    everybody = gallery.master.height
    assert 3 <= len(members) < everybody
    view.get_by_role("tab", name="Gallery").click()
    expect(view.locator("#count")).to_contain_text(f"{everybody} of {everybody} faces", timeout=PATIENCE)
    view.locator("#filter-age input").click()
    view.get_by_role("option", name=age, exact=True).click()
    expect(view.locator("#count")).to_contain_text(f"{len(members)} of {everybody} faces", timeout=PATIENCE)
    expect(view.locator("#faces .grid-wrap img")).to_have_count(len(members))
    assert colors_of(view, view.locator("#map img"), tmp_path) > 20
    view.locator("#query textarea").fill("a person laughing")
    view.locator("#query textarea").press("Enter")
    expect(view.locator("#count")).to_contain_text("nearest to the text first", timeout=PATIENCE)
    ranked = gallery.search(
        gallery.choose({"age": age}), "a person laughing", encoder=project.encoder, top=60
    )
    view.locator("#faces .grid-wrap img").first.click()
    expect(view.locator("#faces .preview")).to_contain_text(ranked["image_id"][0])
    view.locator("#average").click()
    expect(view.locator("#mean")).to_contain_text(f"Average of {len(members)} faces", timeout=PATIENCE)
    expect(view.locator("#mean img")).to_be_visible()
    assert colors_of(view, view.locator("#mean img"), tmp_path) > 50
    view.locator("#filter-age input").click()
    view.get_by_role("option", name="any", exact=True).click()
    expect(view.locator("#mean img")).to_have_count(0, timeout=PATIENCE)
    expect(view.locator("#faces .grid-wrap img")).to_have_count(everybody, timeout=PATIENCE)
    assert view.evaluate("window.hit") is None, "a file is called <img ... onerror=...>"
    assert view.outside == []
