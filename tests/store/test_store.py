"""`Store` computes only missing rows, loses nothing when it is interrupted, and says why rows were computed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import facestats as fs
from facestats.store import table_files
from facestats.store.fingerprint import describe_stage
from facestats.store.status import Expected
from facestats.store.table_files import StoreError

ROOT = Path(__file__).parents[2]
CALLS: list[list[str]] = []


def pictures(ids, mtime=0):
    return pl.DataFrame(
        {"image_id": list(ids), "mtime_ns": [mtime] * len(list(ids))},
        schema={"image_id": pl.String, "mtime_ns": pl.Int64},
    )


def ids(n, start=0):
    return [f"{i:05d}.png" for i in range(start, start + n)]


def label(chunk, *, word="x", stop_at=None, fail=()):
    """A stage with the contract of `attributes`: the key and any columns."""
    CALLS.append(chunk["image_id"].to_list())
    if stop_at in CALLS[-1]:
        raise KeyboardInterrupt
    status = pl.Series(["no_face" if i in fail else "ok" for i in chunk["image_id"]], dtype=fs.tables.STATUS)
    return chunk.select(
        "image_id", pl.lit(word).alias("label"), batch=pl.lit(chunk["image_id"][0]), status=status
    )


@pytest.fixture
def store(tmp_path):
    CALLS.clear()
    return fs.Store(tmp_path)


def build(store, rows, **params):
    return store.build("attributes", rows, label, **{"chunk_size": 3, "progress": False} | params)


def computed():
    found = sorted(i for call in CALLS for i in call)
    CALLS.clear()
    return found


def table_bytes(store):
    return {p.name: p.read_bytes() for p in store.tables_dir.rglob("*.parquet")}


def test_an_unchanged_table_computes_and_writes_nothing(store):
    first = build(store, pictures(ids(10)))
    before = {p: p.stat().st_mtime_ns for p in store.tables_dir.rglob("*.parquet")}
    assert len(computed()) == 10
    assert build(store, pictures(ids(10))).equals(first)
    assert computed() == []
    assert {p: p.stat().st_mtime_ns for p in store.tables_dir.rglob("*.parquet")} == before


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    old=st.sets(st.integers(0, 30), min_size=1),
    new=st.sets(st.integers(0, 30), min_size=1),
    touched=st.sets(st.integers(0, 30)),
    chunk=st.integers(1, 7),
    part=st.integers(1, 5),
)
def test_only_new_and_changed_rows_are_computed_and_removed_rows_disappear(
    tmp_path_factory, old, new, touched, chunk, part
):
    table_files.PART_ROWS, saved = part, table_files.PART_ROWS
    try:
        store = fs.Store(tmp_path_factory.mktemp("s"))
        name = {i: f"{i:03d}" for i in range(31)}
        build(store, pictures([name[i] for i in old]), chunk_size=chunk)
        CALLS.clear()
        rows = pl.DataFrame(
            {"image_id": [name[i] for i in new], "mtime_ns": [int(i in touched) for i in new]}
        )
        out = build(store, rows, chunk_size=chunk)
        assert computed() == sorted(name[i] for i in new if i not in old or i in touched)
        assert out["image_id"].to_list() == sorted(name[i] for i in new)
        direct = pl.read_parquet(store.tables_dir / "attributes.parquet")
        assert direct.equals(out)
    finally:
        table_files.PART_ROWS = saved


def test_an_interrupted_run_loses_one_chunk_and_ends_with_the_same_bytes(tmp_path):
    whole, broken = fs.Store(tmp_path / "a"), fs.Store(tmp_path / "b")
    build(whole, pictures(ids(11)))
    CALLS.clear()
    with pytest.raises(KeyboardInterrupt):
        broken.build(
            "attributes", pictures(ids(11)), _stopping, chunk_size=3, progress=False, stop_at="00007.png"
        )
    assert computed() == ids(9)
    with pytest.raises(FileNotFoundError, match="does not exist yet. Run notebooks/03_attributes"):
        broken.read("attributes")
    broken.build("attributes", pictures(ids(11)), _stopping, chunk_size=3, progress=False, stop_at=None)
    assert "00000.png" in computed()  # stop_at is a setting: all of it was computed again


def _stopping(chunk, *, stop_at):
    return label(chunk, stop_at=stop_at)


def test_a_resumed_run_computes_only_the_missing_rows(store, monkeypatch):
    monkeypatch.setitem(STOP, "at", "00007.png")
    with pytest.raises(KeyboardInterrupt):
        store.build("attributes", pictures(ids(11)), _interrupted, chunk_size=3, progress=False)
    CALLS.clear()
    monkeypatch.setitem(STOP, "at", None)
    resumed = store.build("attributes", pictures(ids(11)), _interrupted, chunk_size=3, progress=False)
    assert computed() == ids(5, start=6)
    files = table_bytes(store)
    undisturbed = fs.Store(store.data_dir / "other")
    undisturbed.build("attributes", pictures(ids(11)), _interrupted, chunk_size=3, progress=False)
    assert table_bytes(undisturbed) == files
    assert resumed.height == 11
    assert not list(store.tables_dir.rglob("chunk-*"))


STOP = {"at": None}


def _interrupted(chunk):
    return label(chunk, stop_at=STOP["at"])


SLOW = """
import sys, time
sys.path.insert(0, {tests!r})
import tests.store.test_store as t
def stuck(chunk):
    if chunk["image_id"][0] == "00006.png":
        print("started", flush=True)
        time.sleep(60)
    return t.label(chunk)
t.fs.Store({folder!r}).build("attributes", t.pictures(t.ids(11)), stuck, chunk_size=3, progress=False)
"""


def test_kill_9_loses_one_chunk_and_a_second_run_is_refused_meanwhile(store):
    code = SLOW.format(tests=str(ROOT), folder=str(store.data_dir))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"started\n"
        with pytest.raises(StoreError, match=rf"being built by process {child.pid} on "):
            build(store, pictures(ids(11)))
        os.kill(child.pid, signal.SIGKILL)
    kept = sorted((store.tables_dir / ".facestats/attributes").glob("chunk-*.parquet"))
    assert [pl.read_parquet(p)["image_id"][0] for p in kept] == ["00000.png", "00003.png"]
    assert build(store, pictures(ids(11))).height == 11


def test_a_changed_setting_recomputes_all_and_the_old_table_stays_readable(store, monkeypatch):
    build(store, pictures(ids(7)), word="old")
    CALLS.clear()
    with pytest.raises(KeyboardInterrupt):
        build(store, pictures(ids(7)), word="new", stop_at="00004.png")
    assert store.read("attributes")["label"].unique().to_list() == ["old"]
    assert build(store, pictures(ids(7)), word="new")["label"].unique().to_list() == ["new"]


def test_a_damaged_chunk_is_computed_again(store, monkeypatch):
    monkeypatch.setitem(STOP, "at", "00007.png")
    with pytest.raises(KeyboardInterrupt):
        store.build("attributes", pictures(ids(11)), _interrupted, chunk_size=3, progress=False)
    monkeypatch.setitem(STOP, "at", None)
    victim = min((store.tables_dir / ".facestats/attributes").glob("chunk-*"))
    victim.write_bytes(victim.read_bytes()[:-40])
    CALLS.clear()
    out = store.build("attributes", pictures(ids(11)), _interrupted, chunk_size=3, progress=False)
    assert computed() == [*ids(3), *ids(5, start=6)]
    assert out.height == 11


def test_retry_failed_computes_failures_only(store):
    rows = pictures(ids(6))
    bad = {"00001.png", "00004.png"}
    build(store, rows, fail=bad)
    CALLS.clear()
    build(store, rows, fail=bad)
    assert computed() == []
    build(store, rows, fail=bad, retry_failed=True)
    assert computed() == sorted(bad)


def test_a_stage_returns_one_row_per_input_row(store):
    with pytest.raises(fs.tables.TableError, match=r"one row per input row: got 2 rows for 3"):
        store.build("attributes", pictures(ids(5)), lambda c: label(c).head(2), chunk_size=3, progress=False)
    with pytest.raises(fs.tables.TableError, match=r"repeat image_id 'a'"):
        build(store, pictures(["a", "a"]))


def test_the_contract_is_checked_before_anything_is_written(store):
    with pytest.raises(fs.tables.TableError, match=r"column 'error' is missing(.|\n)*01_faces"):
        store.build("faces", pictures(ids(3)), label, progress=False)
    assert not list(store.tables_dir.rglob("*.parquet"))


def test_whole_table_functions_run_again_when_any_row_changes(store):
    build(store, pictures(ids(5)), chunk_size=None)
    CALLS.clear()
    build(store, pictures(ids(5)), chunk_size=None)
    assert CALLS == []
    build(store, pictures(ids(4)), chunk_size=None)
    assert computed() == ids(4)


def test_lazy_rows_give_a_lazy_table(store, tmp_path):
    first = build(store, pictures(ids(7)))
    lazy = store.build("text_labels", store.scan("attributes"), label, chunk_size=3, progress=False)
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect()["image_id"].equals(first["image_id"])


def test_order_of_the_input_does_not_matter(store):
    build(store, pictures(ids(9)))
    first = table_bytes(store)
    other = fs.Store(store.data_dir / "other")
    build(other, pictures(ids(9)).sample(fraction=1, shuffle=True, seed=1))
    assert table_bytes(other) == first


def test_a_full_disk_leaves_the_old_table(store, monkeypatch):
    build(store, pictures(ids(5)), word="old")

    def full(self, *args, **kwargs):
        Path(args[0]).write_bytes(b"PAR1 half")
        msg = "No space left on device (os error 28)"
        raise pl.exceptions.ComputeError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "write_parquet", full)
        with pytest.raises(StoreError, match=r"could not be written \(No space left.*free some space"):
            build(store, pictures(ids(5)), word="new")
    assert store.read("attributes")["label"].unique().to_list() == ["old"]
    assert not list(store.tables_dir.rglob("*.tmp"))
    assert build(store, pictures(ids(5)), word="new")["label"].unique().to_list() == ["new"]


@pytest.mark.parametrize("moment", ["ready with old", "ready alone"])
def test_a_kill_between_the_renames_is_repaired(store, moment, monkeypatch):
    monkeypatch.setattr(table_files, "PART_ROWS", 2)
    build(store, pictures(ids(9)), word="old")
    old = (store.tables_dir / "attributes.parquet").rename(store.tables_dir / "kept")
    build(store, pictures(ids(9)), word="new")
    work = store.tables_dir / ".facestats/attributes"
    (store.tables_dir / "attributes.parquet").rename(work / "ready.parquet")
    if moment == "ready with old":
        old.rename(store.tables_dir / "attributes.parquet")
    else:
        old.rename(work / "old.parquet")
        assert store.read("attributes")["label"].unique().to_list() == ["new"]
    CALLS.clear()
    assert build(store, pictures(ids(9)), word="new")["label"].unique().to_list() == ["new"]
    assert computed() == []
    assert not list(work.glob("*.parquet"))


def test_status_names_the_reason(store):
    build(store, pictures(ids(5)))
    assert _state(store, "attributes")[:2] == ("fresh", "")
    assert _state(store, "faces") == ("missing", "run notebooks/01_faces.ipynb")
    now = {
        "attributes": Expected(
            describe_stage(label, {"word": "y"}),
            pl.concat([pictures(ids(1), mtime=5), pictures(ids(4, start=2))]),
        )
    }
    state, why = _state(store, "attributes", now)
    assert state == "stale"
    assert why == "params.word is new; embeddings: 1 changed, 1 new, 1 removed"


def embed(chunk):
    """A stage with the contract of `embeddings`."""
    none = [pl.lit(None, dtype=pl.Array(pl.Float32, 2)).alias(c) for c in ("embedding", "embedding_full")]
    status = pl.lit("ok", dtype=fs.tables.STATUS).alias("status")
    return chunk.select("image_id", status, pl.lit(None, dtype=pl.String).alias("error"), *none)


def test_tables_that_are_older_than_their_inputs_are_named(store):
    quiet = {"progress": False}
    rows = store.build("embeddings", pictures(ids(6)), embed, **quiet)
    build(store, rows)
    store.check_inputs("master")
    rows = store.build("embeddings", pictures(ids(4, start=3), mtime=0), embed, **quiet)
    message = r"'master' cannot be made from stale tables: attributes \(embeddings: 1 new, 3 removed; run .*03_attributes"
    with pytest.raises(StoreError, match=message):
        store.check_inputs("master")
    store.check_inputs("clusters")  # made from embeddings alone
    build(store, rows)
    store.check_inputs("master")
    store.build("embeddings", pictures(ids(4, start=3), mtime=7), embed, **quiet)
    with pytest.raises(StoreError, match="embeddings: 4 changed"):
        store.check_inputs("master")


def test_input_rows_that_no_table_holds_are_compared_if_they_are_given(store):
    captions = pl.DataFrame({"image_id": ids(3), "text": ["a", "b", "c"]})
    store.build("text_labels", captions, label, progress=False)
    store.check_inputs("master")
    store.check_inputs("master", text_labels=captions.reverse())
    other = captions.with_columns(text=pl.Series(["a", "x", "c"]))
    with pytest.raises(StoreError, match=r"text_labels \(input: 1 changed; run notebooks/04_text_labels"):
        store.check_inputs("master", text_labels=other)


def test_status_compares_frames_that_are_not_tables(store):
    def merge(chunk, *, human):
        return chunk.select("image_id", n=pl.lit(human.height))

    said = pl.DataFrame({"image_id": ["00000.png"], "value": ["red"]})
    build_with = {"chunk_size": None, "progress": False}
    store.build("attributes", pictures(ids(3)), merge, human=said, **build_with)
    now = Expected(describe_stage(merge, {"human": said}))
    assert _state(store, "attributes", {"attributes": now})[0] == "fresh"
    later = Expected(describe_stage(merge, {"human": said.with_columns(value=pl.lit("blue"))}))
    assert _state(store, "attributes", {"attributes": later}) == ("stale", "human changed")


def _state(store, table, expected=None):
    row = store.status(expected).row(by_predicate=pl.col("table") == table, named=True)
    return row["state"], row["why"]


def test_provenance_is_read_from_the_footer(store):
    build(store, pictures(ids(3)), word="z")
    footer = store.provenance("attributes")
    assert footer["stage"]["params"] == {"word": "z"}
    assert footer["packages"]["polars"] == pl.__version__


def test_unknown_table_and_engine_name_the_valid_ones(store):
    with pytest.raises(ValueError, match="no table is called 'faecs'; the tables are faces, "):
        store.read("faecs")
    with pytest.raises(ValueError, match="valid is 'local'"):
        build(store, pictures(ids(1)), engine="spark")


def test_a_table_that_cannot_be_made_any_more_is_deleted_also_under_its_earlier_name(tmp_path, capsys):
    store = fs.Store(tmp_path)
    store.drop("ratings")
    assert not (tmp_path / "processed").exists()
    assert capsys.readouterr().out == ""
    path = store.write("ratings", pl.DataFrame({"image_id": ["a"]}))
    path.rename(path.with_name("scores.parquet"))
    assert store.read("ratings").height == 1
    store.drop("ratings")
    assert (store.provenance("ratings"), list(path.parent.glob("*.parquet"))) == ({}, [])
    assert "ratings: deleted" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no table is called 'rating'"):
        store.drop("rating")
