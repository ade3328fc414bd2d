"""Which tables are stale and why: a row that no longer fails is a change, and so is a changed input table."""

from functools import partial

import polars as pl
import pytest

import facestats as fs
from facestats.store.fingerprint import describe_stage
from facestats.store.status import Expected
from tests.store.test_store import CALLS, build, computed, ids, pictures

BROKEN: dict[str, str] = {}  # image_id -> failure status


def embed(chunk):
    """A stage with the contract of `embeddings`; rows in `BROKEN` fail."""
    CALLS.append(chunk["image_id"].to_list())
    if "stop" in [BROKEN.get(i) for i in chunk["image_id"]]:
        raise KeyboardInterrupt
    status = [BROKEN.get(i, "ok") for i in chunk["image_id"]]
    vectors = [None if i in BROKEN else [1.0, 0.0] for i in chunk["image_id"]]
    return chunk.select("image_id").with_columns(
        pl.Series("status", status, dtype=fs.tables.STATUS),
        pl.Series("error", [None if s == "ok" else "why" for s in status], dtype=pl.String),
        *(pl.Series(c, vectors, dtype=pl.Array(pl.Float32, 2)) for c in ("embedding", "embedding_full")),
    )


@pytest.fixture
def store(tmp_path):
    CALLS.clear()
    BROKEN.clear()
    return fs.Store(tmp_path)


def embeddings(store, n=6, **params):
    return store.build("embeddings", pictures(ids(n)), embed, chunk_size=3, progress=False, **params)


def states(store, expected=None):
    return {r["table"]: (r["state"], r["why"]) for r in store.status(expected).iter_rows(named=True)}


@pytest.mark.parametrize("lazy", [False, True])
def test_a_failure_that_ends_or_changes_is_a_change_for_the_next_stage(store, lazy):
    BROKEN.update({"00001.png": "permission_denied", "00004.png": "permission_denied"})
    rows = embeddings(store)
    build(store, store.scan("embeddings") if lazy else rows)
    assert states(store)["attributes"] == ("fresh", "")
    BROKEN.clear()
    BROKEN["00004.png"] = "no_face"  # decoded now
    CALLS.clear()
    rows = embeddings(store, retry_failed=True)
    assert computed() == ["00001.png", "00004.png"]
    assert rows["embedding"].null_count() == 1
    assert states(store)["attributes"] == ("stale", "embeddings: 2 changed")
    with pytest.raises(fs.store.StoreError, match="embeddings: 2 changed"):
        store.check_inputs("master")
    build(store, store.scan("embeddings") if lazy else rows)
    assert computed() == ["00001.png", "00004.png"]
    assert states(store)["attributes"] == ("fresh", "")


def test_a_failure_that_stays_changes_nothing(store, capsys):
    BROKEN["00001.png"] = "not_image"
    before = embeddings(store)
    build(store, before)
    CALLS.clear()
    capsys.readouterr()
    after = store.build("embeddings", pictures(ids(6)), embed, chunk_size=3, retry_failed=True)
    assert "embeddings: 1 of 6 rows computed (1 failed before)" in capsys.readouterr().out
    assert computed() == ["00001.png"]
    assert after.equals(before)
    build(store, after)
    assert computed() == []
    assert states(store)["attributes"] == ("fresh", "")


def test_only_failed_rows_have_other_fingerprints(store):
    well = embeddings(store)
    BROKEN["00001.png"] = "not_image"
    other = fs.Store(store.data_dir / "other")
    marks = embeddings(other)["fingerprint"]
    assert (marks != well["fingerprint"]).to_list() == [i == "00001.png" for i in ids(6)]


def test_failures_of_an_interrupted_run_are_tried_again_as_well(store):
    BROKEN["00001.png"] = "permission_denied"
    BROKEN["00004.png"] = "stop"
    with pytest.raises(KeyboardInterrupt):
        embeddings(store)
    BROKEN.clear()
    CALLS.clear()
    assert embeddings(store, retry_failed=True)["embedding"].null_count() == 0
    assert computed() == ["00001.png", *ids(3, start=3)]


def ordered(chunk, *, options):
    """A stage whose settings have an order that counts."""
    CALLS.append(chunk["image_id"].to_list())
    return chunk.select("image_id", pl.lit(next(iter(options))).alias("label"))


def test_another_order_of_the_options_is_another_stage(store):
    options, turned = {"young": 1, "old": 2}, {"old": 2, "young": 1}
    make = partial(store.build, "attributes", pictures(ids(3)), ordered, progress=False)
    make(options=options)
    assert make(options=turned)["label"].unique().to_list() == ["old"]
    expected = {"attributes": Expected(describe_stage(ordered, {"options": options}))}
    assert states(store, expected)["attributes"] == ("stale", "params.options: other order")


def attribute_stage(chunk, *, attributes):
    """A stage with a setting that is called like a table."""
    return chunk.select("image_id", pl.lit(str(attributes)).alias("label"))


def test_settings_that_are_called_like_a_table_are_compared(store):
    store.build("attributes", pictures(ids(3)), attribute_stage, attributes={"age": "old"}, progress=False)
    expected = {"attributes": Expected(describe_stage(attribute_stage, {"attributes": {"age": "young"}}))}
    assert states(store, expected)["attributes"][0] == "stale"


def card(name="all"):
    """A table with the contract of `composites`."""
    return pl.DataFrame(
        {"composite": [name], "method": ["mean"], "n": pl.Series([1], dtype=pl.Int32), "members": [["a"]]}
    )


def merge(faces):
    """A stage with the contract of `master`."""
    return embed(faces).select("image_id", "status", "error", crop="image_id")


def test_a_written_table_is_stale_when_a_table_that_it_was_made_from_changed(store):
    master = partial(store.build, "master", func=merge, progress=False)
    master(pictures(ids(3)))
    store.write("composites", card())
    assert states(store)["composites"] == ("fresh", "")
    master(pictures(ids(3), mtime=1))
    assert states(store)["composites"] == ("stale", "master changed")
    store.write("composites", card())
    assert states(store)["composites"] == ("fresh", "")
    master(pictures(ids(4), mtime=1))
    assert states(store)["composites"] == ("stale", "master changed")
    store.write("composites", card())
    BROKEN["00002.png"] = "vanished"
    master(pictures(ids(4), mtime=2))
    store.write("composites", card())
    BROKEN.clear()
    master(pictures(ids(4), mtime=2), retry_failed=True)
    assert states(store)["composites"] == ("stale", "master changed")


def test_a_table_written_before_the_tables_it_is_made_from_is_fresh(store):
    store.write("composites", card())
    assert states(store)["composites"] == ("fresh", "")
    store.write("master", merge(pictures(ids(3))))  # without fingerprints
    store.write("composites", card())
    assert states(store)["composites"] == ("fresh", "")


def test_rows_that_were_written_without_fingerprints_are_not_compared(store):
    """A table from `Store.write` has none, so what is made from it cannot be said to be stale."""
    store.write("embeddings", embed(pictures(ids(3))))
    build(store, store.read("embeddings"))
    assert states(store)["attributes"] == ("fresh", "")
    store.check_inputs("master")


def test_the_notebook_that_mends_a_table_is_the_first_one_that_is_not_fresh(store):
    rows = embeddings(store)
    build(store, rows)
    run_from = dict(store.status().select("table", "run_from").iter_rows())
    assert run_from["faces"] == "01"  # it is missing
    assert run_from["embeddings"] is None
    assert run_from["attributes"] is None
    assert run_from["clusters"] == "07"
    assert run_from["master"] == "01"
    embeddings(store, n=7)
    run_from = dict(store.status().select("table", "run_from").iter_rows())
    assert (run_from["embeddings"], run_from["attributes"], run_from["clusters"]) == (None, "03", "07")


def join_ratings(chunk, *, ratings=None):
    """A stage with an optional table."""
    rated = False if ratings is None else chunk["image_id"].is_in(ratings["image_id"].implode())
    return chunk.select("image_id").with_columns(rated=rated)


def test_an_optional_table_that_goes_or_comes_is_a_change(store):
    rows = pictures(ids(3))
    rate = partial(store.build, "ratings", rows, attribute_stage, attributes={}, progress=False)
    join = partial(store.build, "attributes", rows, join_ratings, progress=False)
    join(ratings=rate())
    assert states(store)["attributes"] == ("fresh", "")
    store.drop("ratings")
    assert states(store)["attributes"] == ("stale", "there is no ratings any more")
    join(ratings=None)
    assert states(store)["attributes"] == ("fresh", "")
    rate()
    expected = {"ratings": Expected(describe_stage(attribute_stage, {"attributes": {}}))}
    assert states(store, expected)["attributes"][1] == "ratings is new"
    assert states(store)["attributes"] == ("fresh", "")  # nothing says that it belongs to the project


def test_an_optional_table_that_nothing_would_make_needs_no_mending(store):
    found = {row["table"]: row["run_from"] for row in store.status({}).iter_rows(named=True)}
    assert found["faces"] == "01"
    assert found["ratings"] is None
