"""A stored table that lacks a column is a sentence that names it."""

import shutil

import polars as pl
import pytest

import facestats as fs

PROJECT = fs.testing.example_project()


@pytest.mark.parametrize("name", ["faces", "master"])
def test_a_table_without_crops_is_named_and_no_crop_is_removed(tmp_path, name):
    shutil.copytree(PROJECT.store.data_dir, tmp_path, dirs_exist_ok=True)
    store = fs.Store(tmp_path)
    (file,) = tmp_path.rglob(f"{name}.parquet")
    about = {k: v for k, v in pl.read_parquet_metadata(file).items() if k == "facestats"}
    pl.read_parquet(file).drop("crop").write_parquet(file, metadata=about)
    for checksums in tmp_path.rglob(f"{name}/checksums.json"):
        checksums.unlink()  # as in a store of an earlier release
    crops = sorted(store.crops_dir.rglob("*.jpg"))
    assert crops
    with pytest.raises(
        fs.tables.TableError, match=rf"table {name!r} is not valid:\n  - column 'crop' is missing"
    ):
        store.read(name)
    # a table that does not tell which crops it needs: they all stay
    images, crops_dir = fs.list_images(PROJECT.raw_dir).head(6), store.crops_dir
    options = {"landmarker": PROJECT.landmarker, "crops_dir": crops_dir, "workers": 1, "progress": False}
    assert store.build("faces", images, fs.align_faces, size=32, **options).height == 6
    assert set(crops) <= set(crops_dir.rglob("*.jpg"))
