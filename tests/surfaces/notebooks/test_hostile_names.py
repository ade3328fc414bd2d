"""All notebooks run on pictures whose names, captions, persons and raters are written to confuse whatever shows them."""

import csv
import re
from html.parser import HTMLParser

import pytest

import facestats as fs
from facestats.core.shown_text import visible
from facestats.demo.gallery import plan_gallery, render
from facestats.surfaces.notebooks.expected_tables import expected_tables
from facestats.surfaces.notebooks.run import run_notebooks
from tests.conftest import ROOT, SETTINGS
from tests.fetched import fetched_addresses
from tests.hostile_names import FILE_NAMES, HOSTILE_NAMES

pytestmark = pytest.mark.slow
TRAIT = "cal$m$ <b>"


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strange $names$ & <b>")
    raw = folder / "data" / "raw"
    raw.mkdir(parents=True)
    pictures = [render(sheet)[0] for sheet in plan_gallery(40, seed=0) if sheet.kind == "character"]
    rows = []
    for i, name in enumerate(FILE_NAMES):
        (raw / f"{name}.jpg").write_bytes(pictures[i])
        (raw / f"broken {name[:200]}.jpg").write_bytes(b"" if i % 2 else b"no picture")
        rows.append({"file_name": f"{name}.jpg", "text": f"A woman. {name}", "person": f"{name} {i % 8}"})
    write(raw / "metadata.csv", rows)
    ratings = [
        {"image_id": row["file_name"], "rater_id": f"{rater} {n}", TRAIT: 1 + (3 * i + 5 * n) % 7}
        for i, row in enumerate(rows)
        for n, rater in enumerate(HOSTILE_NAMES[:6])
    ]
    write(raw / "ratings.csv", ratings)
    attributes = (ROOT / "config/attributes.yaml").as_posix()
    (folder / "facestats.yaml").write_text(SETTINGS.format(data="data", attributes=attributes))
    return folder


def write(file, rows):
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def page(project):
    return run_notebooks(project / "facestats.yaml")


def test_every_notebook_runs_and_every_picture_is_a_row(page, project):
    cfg = fs.load_config(project / "facestats.yaml")
    store = fs.Store(cfg.data_dir)
    states = store.status(expected_tables(cfg))
    assert set(states.filter(table="faces")["state"]) == {"fresh"}
    faces = store.read("faces")
    assert faces.height == 2 * len(FILE_NAMES)
    assert set(faces.filter(faces["status"] == "ok")["image_id"]) <= {f"{name}.jpg" for name in FILE_NAMES}
    assert (faces["status"] == "ok").sum() > len(FILE_NAMES) / 2
    assert store.read("text_labels").height == 2 * len(FILE_NAMES)
    assert store.read("master").height == 2 * len(FILE_NAMES)


def test_no_name_becomes_a_tag_of_the_report_or_of_the_run_card(page):
    for file in (page, page.with_name("run_card.html")):
        text = file.read_text(encoding="utf-8")
        for tag, attributes in Tags(text).found:
            assert "onerror" not in attributes
            assert tag not in {"b", "iframe", "object"} or "title" not in attributes
            assert tag != "img" or attributes["src"].startswith("data:image/")
        assert fetched_addresses(text) == set()
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b]", text)


def test_no_cell_of_an_export_is_a_formula(page, project, capsys):
    cfg = fs.load_config(project / "facestats.yaml")
    file = fs.export(cfg, project / "out.csv")
    with file.open(newline="", encoding="utf-8-sig") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    numbers = re.compile(r"-?[\d.]+(e-?\d+)?")
    assert not [c for c in cells if re.match(r"[=+\-@\t\r\n]", c) and not numbers.fullmatch(c)]
    said = capsys.readouterr().out
    assert visible(said) == said
