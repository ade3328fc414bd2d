"""Damage is seen before a damaged value is used; it names the file and the command, and the next run mends it."""

import json

import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats.attributes import mask_low_scores
from facestats.core.label_columns import label_columns
from facestats.store import table_files
from facestats.store.table_files import StoreError
from tests.store.test_status import embed, states
from tests.store.test_store import CALLS, STOP, _interrupted, build, computed, ids, label, pictures


@pytest.fixture
def store(tmp_path, monkeypatch):
    CALLS.clear()
    monkeypatch.setattr(table_files, "PART_ROWS", 3)
    return fs.Store(tmp_path)


def flip(path, place=4):
    """Change one byte of a file; by default one in the first page of data, behind the signature."""
    data = bytearray(path.read_bytes())
    data[place] ^= 0x40
    path.write_bytes(data)


def cut(path):
    """Remove the last byte of a file."""
    path.write_bytes(path.read_bytes()[:-1])


def verified(store, table="attributes"):
    row = store.status(verify=True).row(by_predicate=pl.col("table") == table, named=True)
    return row["state"], row["why"], row["run_from"]


def remove(path):
    path.unlink()


@pytest.mark.parametrize(("damage", "n"), [(flip, 3), (cut, 3), (flip, 8), (cut, 8), (remove, 8)])
def test_damage_is_named_and_the_next_run_mends_it(store, damage, n):
    before = build(store, pictures(ids(n)))
    files = store._files("attributes")
    assert verified(store)[:2] == ("fresh", "")
    victim = files.parts()[-1]
    lost = pl.read_parquet(victim, glob=False)["image_id"].to_list()
    damage(victim)
    state, why, run_from = verified(store)
    assert (state, run_from[0]) == ("damaged", "0")
    assert victim.name in why
    with pytest.raises(StoreError, match=rf"{victim.name} \(.*type: facestats run --from 03"):
        store.read("attributes")
    CALLS.clear()
    assert build(store, pictures(ids(n))).equals(before)
    assert computed() == lost
    assert verified(store)[:2] == ("fresh", "")


def test_a_damaged_input_stops_a_build_and_a_frame_in_memory_does_not(store):
    rows = store.build("embeddings", pictures(ids(8)), embed, progress=False)
    flip(store._files("embeddings").parts()[1])
    with pytest.raises(StoreError, match=r"part-00001.parquet \(its content .*type: facestats run --from 02"):
        store.build("attributes", store.scan("embeddings"), label, progress=False)
    assert store.build("attributes", rows, label, progress=False).height == 8


def test_a_part_that_was_added_is_not_read(store):
    before = build(store, pictures(ids(8)))
    first = store._files("attributes").parts()[0]
    (first.parent / "part-00009.parquet").write_bytes(first.read_bytes())
    assert "does not belong to the table" in verified(store)[1]
    assert build(store, pictures(ids(8))).equals(before)
    assert build(store, pictures(ids(9))).height == 9
    assert verified(store)[0] == "fresh"


def test_a_flipped_byte_in_a_chunk_of_an_interrupted_run(store, monkeypatch):
    monkeypatch.setitem(STOP, "at", "00007.png")
    with pytest.raises(KeyboardInterrupt):
        store.build("attributes", pictures(ids(11)), _interrupted, chunk_size=3, progress=False)
    monkeypatch.setitem(STOP, "at", None)
    flip(min((store.tables_dir / ".facestats/attributes").glob("chunk-*")))
    CALLS.clear()
    store.build("attributes", pictures(ids(11)), _interrupted, chunk_size=3, progress=False)
    assert computed() == [*ids(3), *ids(5, start=6)]


def test_a_function_of_the_whole_table_computes_all_rows_again(store):
    before = build(store, pictures(ids(8)), chunk_size=None)
    flip(store._files("attributes").parts()[1])
    CALLS.clear()
    assert build(store, pictures(ids(8)), chunk_size=None).equals(before)
    assert computed() == ids(8)


def test_a_table_without_checksums_gets_them_with_the_next_run(store):
    build(store, pictures(ids(8)))
    store._files("attributes").manifest.unlink()
    assert states(store)["attributes"] == ("fresh", "")
    assert verified(store)[0] == "fresh"
    assert "without checksums" in verified(store)[1]
    CALLS.clear()
    build(store, pictures(ids(8)))
    assert computed() == []
    assert verified(store)[:2] == ("fresh", "")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"versions": 1}', b"\xff"])
def test_a_damaged_manifest_proves_nothing_so_all_rows_are_computed_again(store, content):
    before = build(store, pictures(ids(8)))
    store._files("attributes").manifest.write_bytes(content)
    assert "its checksum cannot be read" in verified(store)[1]
    CALLS.clear()
    assert build(store, pictures(ids(8))).equals(before)
    assert computed() == ids(8)
    assert len(json.loads(store._files("attributes").manifest.read_text())["versions"]) == 1


def test_while_a_version_is_replaced_both_are_sound(store):
    build(store, pictures(ids(8)))
    files = store._files("attributes")
    old = json.loads(files.manifest.read_text())["versions"]
    build(store, pictures(ids(8)), word="other")
    new = json.loads(files.manifest.read_text())["versions"]
    files.manifest.write_text(json.dumps({"versions": [*old, *new]}))  # as a kill leaves it
    assert verified(store)[:2] == ("fresh", "")
    flip(files.parts()[0])
    assert verified(store)[0] == "damaged"


BAD_VECTORS = {"nan": [np.nan, 0.0], "infinite": [np.inf, 0.0], "five": [5.0, 0.0], "zero": [0.0, 0.0]}


@pytest.mark.parametrize("vector", BAD_VECTORS.values(), ids=BAD_VECTORS)
def test_a_vector_is_finite_and_of_length_one(store, vector):
    def wrong(chunk):
        column = pl.Series([vector] * chunk.height, dtype=pl.Array(pl.Float32, 2))
        return embed(chunk).with_columns(embedding=column)

    with pytest.raises(
        fs.tables.TableError, match="not finite or not of length one, such as that of '00000.png'"
    ):
        store.build("embeddings", pictures(ids(3)), wrong, progress=False)


@pytest.mark.parametrize("vector", [np.nan, 5.0])
def test_labels_and_a_search_refuse_wrong_vectors(vector):
    project = fs.testing.example_project()
    values = project.embeddings["embedding"].to_numpy().copy()
    values[3] *= vector
    wrong = project.embeddings.with_columns(embedding=pl.Series(values, dtype=pl.Array(pl.Float32, 8)))
    with pytest.raises(fs.tables.TableError, match=r"1 vectors in embedding are not finite.*'face_003.png'"):
        fs.label_attributes(wrong, project.encoder, project.attributes)
    if np.isnan(vector):
        with pytest.raises(fs.tables.TableError, match="not finite"):
            fs.search_faces(wrong, values[0])


def test_nan_is_never_a_label_and_passes_no_threshold():
    name, score, margin, probs = label_columns(
        "age", ["child", "elderly"], np.array([[0.2, 0.8], [np.nan] * 2])
    )
    assert name.to_list() == ["elderly", None]
    assert [s.null_count() for s in (score, margin, probs)] == [1, 1, 1]
    labels = pl.DataFrame({"age": ["child", "child"], "age_score": [np.nan, 0.9]})
    assert mask_low_scores(labels, 0.3)["age"].to_list() == [None, "child"]
