"""The interactive map: what it holds, and what it shows and returns in a real browser."""

import io
import json
import os
import subprocess
import sys
from base64 import b64decode
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest
from PIL import Image

import facestats as fs
from facestats.core.tables import TableError
from facestats.surfaces.notebooks.explore import SIDE, THUMBNAIL, named_faces, write_explore_table
from tests.browser import lab, needs_browser  # noqa: F401
from tests.conftest import ROOT

AGES = pl.Enum(["child", "adult", "old"])
needs_jscatter = pytest.mark.skipif(
    find_spec("jscatter") is None,
    reason="jupyter-scatter is not installed: pip install 'facestats[explore]'",
)


@pytest.fixture
def crops(tmp_path):
    folder = tmp_path / "crops"
    folder.mkdir()
    for i in range(6):
        Image.new("RGB", (256, 256), (40 * i, 100, 200)).save(folder / f"{i}.jpg")
    return folder


@pytest.fixture
def master():
    rows = {
        "image_id": [f"p{i}" for i in range(7)],
        "x": [0.0, 1, 2, 3, 4, 10, None],
        "y": [0.0, 1, 0, 1, 0, 1, None],
        "crop": [*(f"{i}.jpg" for i in range(5)), None, None],
        "cluster": [1, 0, 1, 0, None, -1, None],
        "age": ["old", "child", "adult", None, "old", "old", "child"],
        "yaw": [0.5, None, -3, 4, 5, 6, 7],
        "landmarks": [[[0.0, 1.0]]] * 7,
    }
    return pl.DataFrame(rows, schema_overrides={"age": AGES, "cluster": pl.Int32, "x": pl.Float32})


@needs_jscatter
def test_every_placed_face_is_a_point_and_a_selection_is_its_rows(master, crops):
    found = fs.explore(master, crops)
    assert repr(found) == "FaceMap(6 faces)"
    assert found.selection().is_empty()
    assert found.selection().schema == master.schema
    found.scatter.selection([4, 0])
    assert found.selection().equals(master[[0, 4]])
    assert found.scatter.widget.points.shape[0] == 6
    assert "application/vnd.jupyter.widget-view+json" in str(found._repr_mimebundle_())


@needs_jscatter
def test_a_layout_is_not_stretched(master):
    points = fs.explore(master).scatter.widget.points
    # the layout spans 10 by 1: on the map x spans ten times as much as y, and fits
    assert np.ptp(points[:, 0]) == pytest.approx(10 * np.ptp(points[:, 1]))
    assert np.abs(points[:, :2]).max() < 1


@needs_jscatter
def test_a_tooltip_holds_a_small_picture_of_the_crop(master, crops):
    data = fs.explore(master, crops, tooltip=["age"]).scatter.widget.data
    assert data["image_id"].tolist() == [f"p{i}" for i in range(6)]
    assert data["age"].tolist()[0] == "old"
    assert data[THUMBNAIL].isna().tolist() == [False] * 5 + [True]
    kind, _, code = data[THUMBNAIL][2].partition(",")
    assert kind == "data:image/jpeg;base64"
    image = Image.open(io.BytesIO(b64decode(code)))
    assert image.size == (SIDE, SIDE)
    assert np.abs(np.asarray(image).mean(axis=(0, 1)) - [80, 100, 200]).max() < 4


@needs_jscatter
def test_classes_have_names_and_the_missing_are_grey(master):
    found = fs.explore(master, names={0: "elders", 1: "children"})
    data = found.scatter.widget.data
    assert data["cluster"].tolist() == ["children", "elders", "children", "elders", "missing", "noise"]
    order = fs.explore(master, color="age").scatter.widget.data["age"].cat.categories.tolist()
    assert sorted(order) == ["adult", "child", "missing", "old"]


@needs_jscatter
def test_clusters_are_called_by_their_joined_names(master):
    names = pl.DataFrame({"cluster": [0, 1], "cluster_name": ["elders", "children"]})
    named = master.join(names.cast({"cluster": pl.Int32}), on="cluster", how="left", maintain_order="left")
    classes = fs.explore(named).scatter.widget.data["cluster"]
    assert classes.tolist() == ["children", "elders", "children", "elders", "missing", "noise"]


def test_names_count_near_duplicates_once(tmp_path):
    store, n = fs.Store(tmp_path), 35
    ids = [f"p{i:02d}" for i in range(n)]
    ages = pl.Series(["child"] * 20 + ["old"] * 15, dtype=AGES)
    ok = {
        "status": pl.Series(["ok"] * n, dtype=fs.tables.STATUS),
        "error": pl.Series([None] * n, dtype=pl.String),
    }
    store.write("master", pl.DataFrame({"image_id": ids, **ok, "crop": ids, "age": ages}))
    places = dict.fromkeys(("x", "y", "pca_x", "pca_y"), pl.Series([0.0] * n, dtype=pl.Float32))
    cluster = pl.Series([0] * 20 + [1] * 15, dtype=pl.Int32)
    store.write("clusters", pl.DataFrame({"image_id": ids, "cluster": cluster, **places}))
    vectors = np.eye(n, dtype=np.float32)
    for repeated, name in ((False, "child"), (True, "mixed")):
        vectors[:20] = np.eye(n)[0] if repeated else np.eye(n)[:20]  # one child, twenty times
        column = pl.Series(vectors, dtype=pl.Array(pl.Float32, n))
        table = pl.DataFrame({"image_id": ids, **ok, "embedding": column, "embedding_full": column})
        store.write("embeddings", table)
        named = named_faces(store, ["age", "gender"])
        assert named["image_id"].to_list() == ids
        assert named["cluster_name"][0] == name


@needs_jscatter
def test_numbers_get_a_scale_and_faces_without_one_are_counted(master, capsys):
    found = fs.explore(master, color="yaw")
    assert found.faces["image_id"].to_list() == ["p0", "p2", "p3", "p4", "p5"]
    assert "1 of 6 faces have no yaw" in capsys.readouterr().out


@needs_jscatter
def test_many_values_become_one_class(master):
    many = pl.DataFrame({"image_id": [str(i) for i in range(60)], "x": range(60), "y": range(60)})
    many = many.with_columns(name=pl.col("image_id").str.head(2))
    classes = fs.explore(many, color="name").scatter.widget.data["name"]
    assert classes.nunique() == 25
    assert (classes == "36 other values").sum() == 36


@needs_jscatter
@pytest.mark.parametrize(("limit", "made"), [(0, 0), (1, 1), (2, 1), (5, 4), (6, 5), (100, 5)])
def test_thumbnails_are_bounded_and_what_is_left_out_is_said(master, crops, capsys, limit, made):
    data = fs.explore(master, crops, max_thumbnails=limit).scatter.widget.data
    assert data[THUMBNAIL].notna().sum() == made
    assert ("thumbnails for" in capsys.readouterr().out) == (limit < 6)


@needs_jscatter
def test_wrong_calls_say_what_to_do(master, crops):
    with pytest.raises(TableError, match=r"no column 'x', 'y';.*join the table clusters"):
        fs.explore(master.drop("x", "y"))
    with pytest.raises(TableError, match="mood"):
        fs.explore(master, color="mood")
    with pytest.raises(TableError, match="crop"):
        fs.explore(master.drop("crop"), crops)
    with pytest.raises(ValueError, match="none of 1 rows has a position"):
        fs.explore(master.tail(1))
    (crops / "1.jpg").unlink()
    with pytest.raises(ValueError, match=r"1.jpg.*facestats run --from 01"):
        fs.explore(master, crops)


def test_the_table_for_a_viewer_is_flat_and_carries_jpegs(master, crops, tmp_path):
    path = write_explore_table(master, crops, tmp_path / "report/explore.parquet")
    table = pl.read_parquet(path)
    assert table.columns == [*(c for c in master.columns if c != "landmarks"), THUMBNAIL]
    assert table.height == 6
    assert Image.open(io.BytesIO(table[THUMBNAIL][0])).size == (SIDE, SIDE)
    assert table[THUMBNAIL].null_count() == 1
    assert [p.name for p in path.parent.iterdir()] == ["explore.parquet"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Drawn characters, aligned, encoded and laid out, as notebooks 01 to 07 do it."""
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "c.yaml").write_text(
        f"data_dir: data\nattributes: {ROOT / 'config/attributes.yaml'}\nfaces: {{workers: 1}}\n"
        "embeddings: {model: 'local-dir:${package}/demo/clip'}\n"
    )
    cfg = fs.load_config(folder / "c.yaml")
    from facestats.demo.gallery import write_gallery

    write_gallery(cfg.raw_dir, n=30, seed=5)
    store, clip = fs.Store(cfg.data_dir), fs.models.clip(cfg.embeddings)
    mesh = fs.models.landmarker(cfg.faces)
    faces = fs.align_faces(fs.list_images(cfg.raw_dir), mesh, store.crops_dir, workers=1)
    vectors = fs.embed_faces(faces, clip, store.crops_dir, workers=1)
    table = faces.join(fs.cluster_faces(vectors, n_clusters=3, seed=0), on="image_id")
    table = table.join(fs.clusters.project_pca(vectors), on="image_id")
    table.write_parquet(folder / "table.parquet")
    return folder / "table.parquet", store.crops_dir


OPEN = """import json, polars as pl, facestats as fs
found = fs.explore(pl.read_parquet({table!r}), {crops!r}, tooltip=["status"])
found"""
TAKE = """taken = found.selection()
average = fs.average_faces(taken, {crops!r}, method="warp", min_faces=1)
print(json.dumps({{"taken": taken["image_id"].to_list(), "n": average.n}}))"""


def dots(pixels):
    """Centres of the coloured dots of a map, (n, 2) as x, y."""
    import cv2

    colored = (np.ptp(pixels.astype(int), axis=2) > 60).astype(np.uint8)
    n, _, stats, centres = cv2.connectedComponentsWithStats(colored)
    return np.array([centres[i] for i in range(1, n) if stats[i, cv2.CC_STAT_AREA] >= 9])


@pytest.mark.slow
@needs_jscatter
@needs_browser
def test_points_are_drawn_a_face_is_shown_and_a_lasso_comes_back(drawn, lab):  # noqa: F811
    table, crops = drawn
    placed = pl.read_parquet(table).drop_nulls("x")
    lab.open(*(text.format(table=str(table), crops=str(crops)) for text in (OPEN, TAKE)))
    lab.run(0)
    canvas = lab.cell(0).locator("canvas").first
    canvas.wait_for()
    lab.page.wait_for_timeout(3000)  # points fade in
    box = canvas.bounding_box()
    found = dots(lab.picture(canvas))
    found = found[(found[:, 0] > 130) | (found[:, 1] > 120)]  # not those of the legend
    assert 0.7 * placed.height <= len(found) <= placed.height  # dots may touch

    shown = lab.cell(0).locator("[style*='data:image/jpeg']")
    assert shown.count() == 0
    lab.page.mouse.move(box["x"] + found[0, 0] - 3, box["y"] + found[0, 1], steps=3)
    lab.page.mouse.move(box["x"] + found[0, 0], box["y"] + found[0, 1], steps=3)
    shown.first.wait_for()
    lab.page.wait_for_timeout(500)
    Image.fromarray(lab.picture()).save(lab.folder / "hover.png")

    lab.cell(0).locator(".jp-OutputArea-output button").nth(1).click()
    middle = box["x"] + box["width"] / 2
    left, top, bottom = box["x"] + 3, box["y"] + 3, box["y"] + box["height"] - 3
    lab.page.mouse.move(left, top)
    lab.page.mouse.down()
    for corner in ((middle, top), (middle, bottom), (left, bottom), (left, top + 1)):
        lab.page.mouse.move(*corner, steps=20)
    lab.page.mouse.up()
    lab.page.wait_for_timeout(1000)
    Image.fromarray(lab.picture()).save(lab.folder / "lasso.png")
    taken = json.loads(lab.run(1))
    inside = placed["image_id"].is_in(taken["taken"])
    assert taken["n"] == inside.sum() == len(taken["taken"]) > 2
    assert placed.filter(inside)["x"].max() < placed.filter(~inside)["x"].min()  # what lay left of the middle


@pytest.fixture
def project(master, crops, tmp_path):
    """A project whose master and clusters are there; its configuration."""
    store = fs.Store(tmp_path)
    crops.rename(store.crops_dir)
    status = pl.lit("ok", dtype=fs.tables.STATUS)
    table = master.with_columns(status=status, error=pl.lit(None, dtype=pl.String))
    layout = pl.col("x", "y", "pca_x", "pca_y").cast(pl.Float32)
    store.write("master", table.drop("x", "y", "cluster").sort("image_id", descending=True))
    places = table.with_columns(pca_x="x", pca_y="y")
    store.write("clusters", places.select("image_id", "cluster", layout))
    vectors = pl.Series(np.eye(7, dtype=np.float32), dtype=pl.Array(pl.Float32, 7))
    store.write(
        "embeddings",
        table.select("image_id", "status", "error", embedding=vectors, embedding_full=vectors),
    )
    config = tmp_path / "c.yaml"
    config.write_text(f"data_dir: .\nattributes: {ROOT / 'config/attributes.yaml'}\n")
    return config


def run_explore(config, path):
    # uvx may lie beside the real one
    elsewhere = f"import sys; sys.executable = {str(config.parent / 'python')!r}"
    code = f"{elsewhere}; from facestats.surfaces.cli.commands import main; main()"
    command = [sys.executable, "-c", code, "explore", "--config", str(config)]
    env = {**os.environ, "PATH": str(path)}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env=env)


def test_the_command_opens_the_table_in_a_viewer(project, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    viewer = tools / "uvx"
    viewer.write_text(f"#!{sys.executable}\nimport sys\nprint('viewer got', *sys.argv[1:])\nsys.exit(7)\n")
    viewer.chmod(0o755)
    out = run_explore(project, tools)
    table = project.parent / "report/explore.parquet"
    assert f"viewer got embedding-atlas {table} --x x --y y --image thumb" in out.stdout
    assert out.returncode == 7
    written = pl.read_parquet(table)
    assert written["image_id"].to_list() == [f"p{i}" for i in reversed(range(6))]
    named = dict(written.select("cluster", "cluster_name").unique().iter_rows())
    assert named == {0: "mixed", 1: "mixed", -1: None, None: None}


@pytest.mark.slow
def test_without_uvx_the_command_says_how_to_get_it(project, tmp_path):
    out = run_explore(project, tmp_path)
    assert out.returncode == 5
    assert out.stdout.startswith("uvx embedding-atlas ")
    assert out.stderr == (
        "facestats: error: uvx is missing: install it with 'pip install uv', then run the command above\n"
    )
    assert (project.parent / "report/explore.parquet").exists()


@pytest.mark.slow
def test_uvx_is_found_beside_python_where_the_path_lacks_it(project, tmp_path):
    beside = tmp_path / "uvx"
    beside.write_text(f"#!{sys.executable}\nimport sys\nsys.exit(7)\n")
    beside.chmod(0o755)
    assert run_explore(project, tmp_path / "empty").returncode == 7


def test_before_the_clusters_the_command_names_their_notebook(project):
    (project.parent / "processed/clusters.parquet").unlink()
    out = run_explore(project, "")
    assert out.returncode == 4
    assert "notebooks/07_clusters.ipynb" in out.stderr


def test_a_crop_that_is_gone_is_exit_4_and_a_sentence(project):
    (fs.Store(project.parent).crops_dir / "1.jpg").unlink()
    out = run_explore(project, "")
    assert out.returncode == 4, out.stderr
    assert "facestats run --from 01" in out.stderr
    assert "Traceback" not in out.stderr
