"""The notebooks run to their end, or end early with a sentence, in projects with too little of something."""

import contextlib
import io
import re

import matplotlib.pyplot as plt
import nbformat
import pytest
from PIL import Image

import facestats as fs
from facestats.demo.gallery import plan_gallery, render
from facestats.surfaces.notebooks.early_end import EarlyEnd
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
SHEETS = [sheet for sheet in plan_gallery(12, seed=0) if sheet.kind == "character"]
SETTINGS = """
data_dir: .
attributes: attributes.yaml
faces: {workers: 1}
embeddings: {model: "local-dir:${package}/demo/clip", workers: 1}
text_labels: {model: "${package}/demo/bart"}
"""
GLASSES = """
glasses:
  title: Glasses
  image_templates: ["a photo of {}."]
  text_templates: ["The person {}."]
  text_question: "The text says whether the person wears glasses."
  options:
    yes: {image: [a person with glasses], text: [wears glasses]}
    no: {image: [a person without glasses], text: [wears no glasses]}
"""


@pytest.fixture(scope="module")
def portraits():
    return [render(sheet)[0] for sheet in SHEETS]


def encoded(picture, **options):
    out = io.BytesIO()
    picture.save(out, **options)
    return out.getvalue()


def plain(color):
    return encoded(Image.new("RGB", (160, 160), color), format="PNG")


def again(portrait, quality):
    """The next frame of a burst: nearly the same picture."""
    return encoded(Image.open(io.BytesIO(portrait)), format="JPEG", quality=quality)


def metadata(columns, rows):
    lines = [f"{i:02d}.jpg,A portrait of a person.,{row}\n" for i, row in enumerate(rows)]
    return f"file_name,text,{columns}\n{''.join(lines)}"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """A function that writes a project and runs all its notebooks; it returns the project and what was printed."""

    def run_all(pictures, *, known="", more="", attributes="", ratings=""):
        raw = tmp_path / "raw"
        raw.mkdir()
        for i, data in enumerate(pictures):
            (raw / f"{i:02d}.jpg").write_bytes(data)
        for name, text in (("metadata.csv", known), ("ratings.csv", ratings)):
            if text:
                (raw / name).write_text(text)
        text = attributes or (ROOT / "config/attributes.yaml").read_text(encoding="utf-8")
        (tmp_path / "attributes.yaml").write_text(text, encoding="utf-8")
        (tmp_path / "facestats.yaml").write_text(SETTINGS + more)
        monkeypatch.chdir(tmp_path)
        for path in sorted((ROOT / "notebooks").glob("0[1-9]_*.ipynb")):
            with contextlib.suppress(EarlyEnd):
                run_cells(path)
        cfg = fs.load_config(tmp_path / "facestats.yaml")
        assert (cfg.report_dir / "run_card.md").is_file()
        return cfg, fs.Store(cfg.data_dir), capsys.readouterr().out

    return run_all


def run_cells(path):
    space = {"display": print}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{path.stem}[{cell.id}]", "exec"), space)
            for number in plt.get_fignums():
                plt.figure(number).canvas.draw()
            plt.close("all")


@pytest.mark.parametrize("color", ["grey", None])
def test_without_a_face_or_with_one_picture(run, portraits, color):
    _, store, said = run([plain(color)] * 3 if color else portraits[:1])
    assert re.search(r"map_faces: (0 faces are|1 face is) too few for clusters and maps", said)
    assert "No eigenfaces are shown: they need 3 faces" in said
    assert store.read("clusters")["cluster"].count() == 0
    assert store.read("composites").is_empty()


def test_two_pictures(run, portraits):
    _, store, said = run(portraits[:2])
    assert "map_faces: 2 faces are too few" in said
    assert store.read("clusters")["cluster"].count() == 0


def test_one_picture_twelve_times(run, portraits):
    _, store, said = run(portraits[:1] * 12, known=metadata("true_gender", ["female"] * 12))
    assert "1 face is too few for clusters and maps, which need 3 (near-duplicates count once)" in said
    assert "1 of 12 pictures are averaged; 11 repeat another picture" in said
    assert store.read("composites").is_empty()


def test_bursts_of_nearly_the_same_frames(run, portraits):
    _, store, _ = run([again(portrait, quality) for portrait in portraits[:4] for quality in (60, 75, 90)])
    clusters = store.read("clusters")["cluster"].to_list()
    assert [len(set(clusters[i : i + 3])) for i in range(0, 12, 3)] == [1] * 4
    assert set(clusters) == {0, 1}
    assert clusters.count(0) >= clusters.count(1)


def test_one_person_one_rater_and_one_group(run, portraits):
    ratings = "image_id,rater_id,rating\n" + "".join(f"{i:02d}.jpg,anna,{i % 7}\n" for i in range(12))
    more = "composites: {by: true_gender, min_faces: 2}\nratings: {person: who}\n"
    known = metadata("true_gender,who", ["female,maria"] * 12)
    _, store, said = run(portraits, known=known, more=more, ratings=ratings)
    assert "No trait is predicted. The later notebooks go on without ratings." in said
    assert "it needs two groups of true_gender with 2 faces or more, found: none" in said
    assert store.read("audit")["n"].max() == 12


def test_no_cluster_is_dense(run, portraits):
    _, store, _ = run(portraits, more="clusters: {method: hdbscan}\n")
    assert store.read("clusters")["cluster"].unique().to_list() == [-1]


def test_averages_of_labels_of_what_is_known_and_of_combinations(run, portraits):
    more = "composites: {by: [gender, true_gender, [true_gender, age]], min_faces: 2}\n"
    known = metadata("true_gender", [sheet.records[0]["gender"] for sheet in SHEETS])
    cfg, store, said = run(portraits, known=known, more=more)
    rules = set(store.read("composites")["where"].drop_nulls())
    assert {"true_gender = female", "true_gender = male", "gender = male"} <= rules
    assert any(re.fullmatch(r"true_gender = [\w-]+, age = [\w -]+", rule) for rule in rules)
    assert "groups of true_gender and age have fewer than 2 faces and are left out (" in said
    assert len(list((cfg.report_dir / "composites").glob("true_gender_female_warp_n*.png"))) == 1


def test_other_attributes(run, portraits):
    known = metadata("true_glasses", ["yes", "no"] * 6)
    cfg, store, said = run(portraits, known=known, attributes=GLASSES, more="composites: {min_faces: 2}\n")
    assert fs.composites.columns(cfg) == (("glasses",),)
    assert "Groups that are large enough: glasses" in said
    assert set(store.read("audit")["attribute"]) == {"glasses", "all"}
