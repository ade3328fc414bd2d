from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from PIL import Image

from facestats.surfaces.page.gallery import Gallery
from facestats.testing import FakeEncoder, FakeTextClassifier
from tests.browser import FLAGS, chromium, needs_browser
from tests.ledger import Ledger

PATIENCE = 60_000  # milliseconds


def first_picture(project):
    return next(p for p in sorted(project.config.raw_dir.rglob("*.*")) if p.is_file())


def test_without_a_run_there_is_no_gallery_and_the_page_says_what_to_do(tmp_path, project, gr):
    from facestats.surfaces.page.app import create_page

    assert Gallery.open(project.config.model_copy(update={"data_dir": tmp_path})) is None
    config = project.config.model_copy(update={"data_dir": tmp_path})
    empty = type(project)(config, use_cache=False, landmarker=1, encoder=1, classifier=1)
    values = [part.get("props", {}).get("value") for part in create_page(empty).config["components"]]
    assert any(f"Type `{config.command('run')}`; then" in value for value in values if isinstance(value, str))


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


def test_toy_models_say_so_at_the_top_of_the_page(project, gr):
    from facestats.surfaces.page.app import create_page, label_character

    class Toy(FakeEncoder):
        domain = SimpleNamespace(
            warning="This model knows <drawn> faces only.",
            trained_on="drawn faces",
            mark=lambda embeddings: embeddings.select("image_id", outside=False),
        )

    def banner(pipeline):
        parts = create_page(pipeline).config["components"]
        return [part["props"]["value"] for part in parts if part["props"].get("elem_id") == "warning"]

    models = {"landmarker": project.labeller.landmarker, "classifier": FakeTextClassifier()}
    toy = type(project)(project.config, use_cache=False, encoder=Toy(), **models)
    assert banner(project) == []
    assert banner(toy) == ['<p class="fs-warning">This model knows &lt;drawn&gt; faces only.</p>']
    _, shown, answer = label_character(toy, first_picture(project).read_bytes(), "")
    assert shown.startswith('<p class="fs-warning">This model knows')
    assert json.loads(answer)["model"] == {"picture": Toy.name}
    assert json.loads(answer)["warning"]


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


@pytest.fixture(scope="module")
def view(visitor):
    """The page of `visitor` in a browser, and the requests that it sends to other machines."""
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
    expect(view.locator("#summary")).to_contain_text("Add a picture", timeout=PATIENCE)
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
