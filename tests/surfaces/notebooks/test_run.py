"""The notebooks as an integration test: all of them, in order, on drawn characters; and they stay short."""

import contextlib
import dataclasses
import re
import shutil
import statistics
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import polars as pl
import pytest
from PIL import Image

import facestats as fs
from facestats.demo.gallery import Sheet, render
from facestats.demo.records import sample_records
from facestats.surfaces.notebooks.early_end import EarlyEnd
from facestats.surfaces.notebooks.expected_tables import expected_tables
from facestats.surfaces.notebooks.run import NotebookError, run_notebooks
from tests.conftest import SETTINGS

ROOT = Path(__file__).parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
EXAMPLES = sorted((ROOT / "examples").glob("*.ipynb"))
TABLES = ("faces", "embeddings", "attributes", "text_labels", "ratings", "master", "clusters")
SUMMARIES = ("composites", "audit")  # their rows are not pictures


def code_cells(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def lines(cell):
    return [line for line in cell.source.splitlines() if line.strip()]


@pytest.mark.parametrize("path", [*NOTEBOOKS, *EXAMPLES], ids=lambda p: p.stem)
def test_notebooks_stay_thin(path):
    notebook = nbformat.read(path, as_version=4)
    counts = [len(lines(c)) for c in code_cells(path)]
    assert max(counts) <= 13
    assert statistics.median(counts) <= 4
    code = "\n".join(c.source for c in code_cells(path))
    assert not re.search(r"^\s*(def|class) |sys\.path|os\.chdir|/home/|/Users/", code, re.MULTILINE)
    words = sum(len(c.source.split()) for c in notebook.cells if c.cell_type == "markdown")
    assert words >= 3 * sum(counts)
    assert notebook.cells[0].source.startswith("# ")
    assert [c.metadata.get("tags") for c in code_cells(path)].count(["parameters"]) == 1
    stem = path.stem.partition("_")[2]
    package = ROOT / "src/facestats" / stem
    assert path in EXAMPLES or package.is_dir() or package.with_suffix(".py").is_file()


@pytest.mark.slow
def test_every_table_has_a_row_per_picture(demo):
    cfg = fs.load_config(demo[0])
    store = fs.Store(cfg.data_dir)
    images = fs.list_images(cfg.raw_dir)
    for name in TABLES:
        if name == "ratings" and store.read("reliability")["why_not"].count():
            continue  # so few faces allow no model, and the table of reliability says so
        assert store.read(name)["image_id"].to_list() == images["image_id"].to_list()
    statuses = set(store.read("faces")["status"])
    assert "ok" in statuses
    assert statuses & {"no_face", "truncated", "corrupt", "not_image", "empty"}


@pytest.mark.slow
def test_the_report_holds_every_notebook_and_its_pictures(demo):
    text = demo[1].read_text()
    for path in NOTEBOOKS:
        assert f'<section id="{path.stem}">' in text
    assert text.count("data:image/png;base64") >= 15
    assert "<table" in text
    assert not list((ROOT / "notebooks").glob("*-ipc-*")), "kernels that another run would take for its own"


@pytest.mark.slow
def test_the_notebooks_and_the_status_command_agree(demo):
    cfg = fs.load_config(demo[0])
    status = fs.Store(cfg.data_dir).status(expected_tables(cfg))
    made = (*TABLES, *SUMMARIES)
    refused = {"ratings"} if fs.Store(cfg.data_dir).read("reliability")["why_not"].count() else set()
    built = status.filter(pl.col("table").is_in(set(made) - refused))
    assert built["state"].to_list() == ["fresh"] * len(set(made) - refused), built["why"].to_list()


def changed(cfg, section, **values):
    """The configuration with other values in one section; "" stands for the top level."""
    inside = getattr(cfg, section).model_copy(update=values) if section else None
    return cfg.model_copy(update={section: inside} if section else values)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "values", "whys"),
    [
        ("faces", {"crop_size": 128}, {"faces": "params.size: 512 -> 128"}),
        ("embeddings", {"batch_size": 7}, {"embeddings": "params.batch_size: 64 -> 7"}),
        (
            "embeddings",
            {"model": "hf-hub:org/none"},
            {"embeddings": '-> "hf-hub:org/none (not available here'},
        ),
        ("text_labels", {"threshold": 0.25}, {"text_labels": "params.threshold: 0.5 -> 0.25"}),
        ("clusters", {"n_clusters": 4}, {"clusters": "params.n_clusters: 3 -> 4", "audit": ""}),
        ("clusters", {"n_neighbors": 7}, {"clusters": "params.n_neighbors: 15 -> 7"}),
        ("ratings", {"person": "true_age"}, {"attributes": "params.probes: ", "embeddings": ""}),
        ("audit", {"by": ("age",)}, {"audit": "params.by: ", "clusters": ""}),
        ("", {"seed": 5}, {"clusters": "params.seed: 0 -> 5", "audit": "params.seed: ", "faces": ""}),
    ],
)
def test_a_changed_setting_makes_stale_what_reads_it(demo, section, values, whys):
    cfg = fs.load_config(demo[0])
    status = fs.Store(cfg.data_dir).status(expected_tables(changed(cfg, section, **values)))
    found = dict(status.select("table", "why").rows())
    for table, why in whys.items():
        assert why in found[table] if why else found[table] == "", found
    if whys.get("clusters"):
        assert found["composites"].endswith("clusters is stale")


@pytest.mark.slow
def test_a_ratings_model_that_was_trained_again_makes_the_ratings_stale(demo):
    cfg = fs.load_config(demo[0])
    store = fs.Store(cfg.data_dir)
    # so few faces allow no model that is worth applying; any model serves this test
    landmarks = store.scan("faces").select("image_id", "landmarks")
    rows = store.scan("embeddings").join(landmarks, on="image_id", how="left", validate="1:1")
    clip, regressor = fs.models.clip(cfg.embeddings), fs.models.regressor(cfg.ratings)
    given = {"encoder": clip, "trait": "attractiveness", **fs.ratings.settings(cfg)}
    model = fs.fit_ratings(rows, fs.ratings.read(cfg.ratings_file), regressor, **given).model
    folder = model.save(cfg.models_dir / "attractiveness")
    store.build("ratings", rows, fs.ratings.rate_faces, model=model)
    dataclasses.replace(model, width=model.width + 1).save(folder)
    try:
        found = {r["table"]: r["why"] for r in store.status(expected_tables(cfg)).iter_rows(named=True)}
        assert found["ratings"].startswith("params.model: ")
    finally:
        store.drop("ratings")
        shutil.rmtree(cfg.models_dir)


@pytest.mark.slow
def test_every_composite_says_who_is_in_it_and_by_which_filter(demo):
    cfg = fs.load_config(demo[0])
    composites = fs.Store(cfg.data_dir).read("composites")
    assert set(composites["method"]) == {"mean", "warp", "difference", "eigenfaces"}
    for row in composites.iter_rows(named=True):
        end = f"{row['method']}_n{row['n']}.png"
        files = (cfg.data_dir / "report/composites").glob(f"*{end}")
        told = next(t for t in map(fs.composites.read, files) if t["members"] == row["members"])
        assert (told["members"], told["weights"]) == (row["members"], row["weights"])
        assert row["where"] or row["method"] == "eigenfaces"
        assert not any(name.startswith("copy_") for name in row["members"]), "a near-duplicate counts twice"


@pytest.mark.slow
def test_a_label_by_hand_makes_stale_what_it_speaks_of(demo):
    cfg = fs.load_config(demo[0])
    store = fs.Store(cfg.data_dir)
    row = store.read("master").drop_nulls("hair_color").row(0, named=True)
    other = next(o for o in cfg.attributes["hair_color"].options if o != row["hair_color"])
    fs.human_labels.write(
        cfg.labels_file, row["image_id"], attribute="hair_color", value=other, labeller="anna"
    )
    try:
        why = dict(store.status(expected_tables(cfg)).select("table", "why").rows())
        assert why["attributes"].startswith("params.probes: ")
        assert "human changed" in why["master"]
        assert why["text_labels"] == ""
        human = fs.human_labels.read(cfg.labels_file, cfg.attributes)
        merged = fs.merge_master(store.read("faces"), attributes=store.read("attributes"), human=human)
        found = merged.filter(image_id=row["image_id"]).row(0, named=True)
        assert (found["hair_color"], found["hair_color_source"]) == (other, "human")
        assert found["image_hair_color"] == row["image_hair_color"]
    finally:
        cfg.labels_file.unlink()


@pytest.mark.slow
def test_a_failing_cell_is_named_and_the_report_ends_there(demo, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("FACESTATS_CONFIG", "")
    config = tmp_path / "config.yaml"
    (tmp_path / "data/raw").mkdir(parents=True)
    draw_nobody(tmp_path / "data/raw")
    (tmp_path / "data/processed").write_text("a file in the place of the folder of tables")
    text = SETTINGS.replace("demo: {{pictures: 40, seed: 3}}\n", "")
    config.write_text(text.format(data=tmp_path / "data", attributes=ROOT / "config/attributes.yaml"))
    with pytest.raises(NotebookError, match=r"0\d_\w+.ipynb, cell \d+: StoreError: .*processed") as caught:
        run_notebooks(config)
    assert f"facestats run --config {config} --from 0" in str(caught.value)
    assert "StoreError" in (tmp_path / "data/report/index.html").read_text()


def draw_men(folder):
    records = [r for r in sample_records(60, seed=3, style="eval") if r["gender"] == "male"]
    for i, record in enumerate(records[:6]):
        (folder / f"{i}.jpg").write_bytes(render(Sheet("character", i, 3000 + i, "eval", (record,)))[0])


def draw_nobody(folder):
    for i, color in enumerate([(200, 30, 30), (30, 200, 30), (30, 30, 200)]):
        Image.new("RGB", (300, 300), color).save(folder / f"{i}.png")


# function that draws it, sentences that must be printed, and composites that are possible
SMALL = {
    "six men": (
        draw_men,
        [
            "6 faces are too few for UMAP (it needs 10)",
            "numbers above 3 are left out, since there are 6 faces",
            "No difference is shown: it needs two groups of gender with 3 faces or more, found: male.",
            "groups of cluster have fewer than 3 faces and are left out",
        ],
        {"mean", "warp", "eigenfaces"},
    ),
    "nobody": (
        draw_nobody,
        [
            "No neighbours are shown: no face was found in any picture.",
            "0 faces are too few for clusters and maps, which need 3; their columns are empty.",
            "numbers above 0 are left out, since there are 0 faces",
            "No eigenfaces are shown: they need 3 faces, there are 0.",
            "No difference is shown: it needs two groups of gender with 3 faces or more, found: none.",
        ],
        set(),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("collection", SMALL)
def test_small_collections_come_to_the_end_and_say_what_cannot_be_shown(
    collection, tmp_path, monkeypatch, capsys
):
    draw, said, methods = SMALL[collection]
    config = tmp_path / "config.yaml"
    text = SETTINGS.replace("demo: {{pictures: 40, seed: 3}}\n", "")
    config.write_text(text.format(data=tmp_path / "data", attributes=ROOT / "config/attributes.yaml"))
    (tmp_path / "data/raw").mkdir(parents=True)
    draw(tmp_path / "data/raw")
    monkeypatch.setenv("FACESTATS_CONFIG", str(config))
    monkeypatch.setitem(plt.rcParams, "figure.max_open_warning", 0)
    for path in NOTEBOOKS:  # in this process: a kernel for each takes longer than the work
        space = {"display": print}
        with contextlib.suppress(EarlyEnd):
            for cell in code_cells(path):
                exec(compile(cell.source, path.name, "exec"), space)
                for figure in map(plt.figure, plt.get_fignums()):
                    figure.canvas.draw()
                plt.close("all")
    out = capsys.readouterr().out
    assert [sentence for sentence in said if sentence not in out] == []
    store = fs.Store(tmp_path / "data")
    pictures = fs.list_images(tmp_path / "data/raw").height
    assert {store.read(name).height for name in TABLES if name != "ratings"} == {pictures}
    composites = store.read("composites")
    assert set(composites["method"]) == methods
    saved = list((tmp_path / "data/report").rglob("composites/*.png"))
    assert len(saved) == composites.height
