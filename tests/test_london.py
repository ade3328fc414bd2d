"""The stages on real photographs, with a CLIP of the real architecture and random weights."""

import os
import shutil

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import yaml
from random_clip import save_random_clip

import facestats as fs
from tests.conftest import LONDON, ROOT, copy_london, needs_london

pytestmark = [needs_london, pytest.mark.slow]
ATTRIBUTES = ("gender", "hair_color", "eye_color")
TABLES = ("faces", "embeddings", "attributes", "text_labels", "master", "clusters")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("london")
    copy_london(folder / "data/raw", 12)
    clip = save_random_clip(folder / "clip")
    known = yaml.safe_load((ROOT / "config/attributes.yaml").read_text())
    (folder / "attributes.yaml").write_text(yaml.safe_dump({name: known[name] for name in ATTRIBUTES}))
    (folder / "c.yaml").write_text(
        f"data_dir: data\nattributes: attributes.yaml\nembeddings: {{model: 'local-dir:{clip}'}}\n"
        "text_labels: {model: '${package}/demo/bart'}\nclusters: {n_clusters: 3}\n"
    )
    return fs.load_config(folder / "c.yaml")


@pytest.fixture(scope="module")
def clip(project):
    return fs.models.clip(project.embeddings)  # loaded once, and its prompts encoded once


def run(cfg, clip, capsys):
    """Build every table as the notebooks do; return the closing line of each."""
    store = fs.Store(cfg.data_dir)
    mesh = fs.models.landmarker(cfg.faces)
    capsys.readouterr()
    faces = store.build(
        "faces", fs.list_images(cfg.raw_dir), fs.align_faces, landmarker=mesh, crops_dir=store.crops_dir
    )
    vectors = store.build(
        "embeddings", faces, fs.embed_faces, encoder=clip, crops_dir=store.crops_dir, raw_dir=cfg.raw_dir
    )
    labels = store.build("attributes", vectors, fs.label_attributes, encoder=clip, attributes=cfg.attributes)
    captions = fs.list_captions(cfg.raw_dir)
    bart = fs.models.bart(cfg.text_labels)
    texts = store.build("text_labels", captions, fs.label_texts, classifier=bart, attributes=cfg.attributes)
    tables = {"attributes": labels, "text_labels": texts, "captions": captions}
    store.build("master", faces, fs.merge_master, chunk_size=None, **tables)
    store.build("clusters", vectors, fs.map_faces, chunk_size=None, n_clusters=3, n_neighbors=5, seed=0)
    lines = capsys.readouterr().out.splitlines()
    return {name: next(line for line in lines if line.startswith(name)) for name in TABLES}


def test_only_what_changed_is_computed(project, clip, capsys):
    first = run(project, clip, capsys)
    assert all("12 of 12 rows computed" in line for line in first.values()), first
    again = run(project, clip, capsys)
    assert all(line.endswith("12 rows, unchanged") for line in again.values()), again
    store = fs.Store(project.data_dir)
    assert store.read("faces")["status"].to_list() == ["ok"] * 12
    pictures = sorted(project.raw_dir.glob("*.jpg"))
    os.utime(pictures[0])
    shutil.copy(pictures[1], project.raw_dir / "new.jpg")
    pictures[2].unlink()
    status = dict(store.status().select("table", "why").iter_rows())
    assert status["faces"] == "pictures: 1 changed, 1 new, 1 removed"
    assert status["embeddings"] == "faces is stale"
    changed = run(project, clip, capsys)
    for name in ("faces", "embeddings", "attributes"):
        assert "2 of 12 rows computed (1 new, 1 changed), 1 removed" in changed[name]
    assert {store.read(name).height for name in TABLES} == {12}


def test_a_changed_prompt_opens_no_picture(project, clip, capsys):
    run(project, clip, capsys)
    before = fs.Store(project.data_dir).read("attributes")
    hair = project.attributes["hair_color"].model_dump()
    hair["options"]["red"]["image"] = ["a person with copper hair"]
    new = project.attributes | {"hair_color": type(project.attributes["hair_color"]).model_validate(hair)}
    changed = project.model_copy(update={"attributes": new})
    shutil.move(project.raw_dir, project.raw_dir.with_name("away"))
    shutil.move(fs.Store(project.data_dir).crops_dir, project.data_dir / "crops_away")
    store = fs.Store(project.data_dir)
    labels = store.build(
        "attributes",
        store.read("embeddings"),
        fs.label_attributes,
        encoder=clip,
        attributes=changed.attributes,
    )
    said = capsys.readouterr().out
    assert "12 of 12 rows computed (12 changed); params.attributes.hair_color.options.red.image" in said
    # other prompts share a batch now, and 16-bit arithmetic depends on the batch in its last digits
    assert np.allclose(labels["eye_color_probs"].to_numpy(), before["eye_color_probs"].to_numpy(), atol=1e-3)
    assert not np.allclose(labels["hair_color_probs"].to_numpy(), before["hair_color_probs"].to_numpy())


def test_the_example_averages_every_group(portraits, tmp_path, capsys):
    settings = {"london": str(LONDON), "data_dir": str(tmp_path / "out"), "min_faces": 8}
    shutil.copytree(portraits[0], tmp_path / "out")
    space = {}
    for cell in nbformat.read(ROOT / "examples/london.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, space)
        if "parameters" in cell.metadata.get("tags", []):
            space |= settings
    plt.close("all")
    assert "faces: 102 rows, unchanged" in capsys.readouterr().out
    report = tmp_path / "out/report"
    made = {p.stem: fs.composites.read(p) for p in report.glob("*.png")}
    groups = {"female": 49, "male": 53, "white": 69, "black": 13, "west_asian": 10, "east_asian": 9}
    assert {name: facts["n"] for name, facts in made.items()} == {
        f"{group}_{method}": n for group, n in groups.items() for method in ("mean", "warp")
    }
