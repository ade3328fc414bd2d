from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import pickle
import sqlite3
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facestats.surfaces.pipeline.cache import Cache

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(values=st.dictionaries(st.text(), VALUES, max_size=6))
def test_what_was_put_comes_back(tmp_path_factory, values):
    cache = Cache(tmp_path_factory.mktemp("cache") / "cache.db")
    cache.put_many(values)
    assert cache.get_many([*values, "somebody else's"]) == values
    cache.close()
    assert Cache(cache.path).get_many(list(values)) == values, "after a restart"
    assert len(cache) == len(values)


def test_the_least_recently_used_go_first(tmp_path):
    cache = Cache(tmp_path / "cache.db", max_bytes=1000)
    for i in range(9):
        cache.put_many({f"k{i}": "x" * 90})
    cache.get_many(["k0"])
    for i in range(9, 14):
        cache.put_many({f"k{i}": "x" * 90})
    kept = cache.get_many([f"k{i}" for i in range(14)])
    assert "k0" in kept
    assert "k1" not in kept
    assert "k13" in kept
    assert sum(len(json.dumps(v)) for v in kept.values()) <= 1000


@pytest.mark.parametrize("damage", [b"", b"no database at all", b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_broken_file_is_begun_anew_with_a_warning(tmp_path, damage, caplog):
    file = tmp_path / "cache.db"
    file.write_bytes(damage)
    cache = Cache(file)
    with caplog.at_level(logging.WARNING):
        cache.put_many({"a": 1})
    assert cache.get_many(["a"]) == {"a": 1}
    assert bool(damage) == ("begun again" in caplog.text)


def test_a_file_cut_in_use_or_written_by_hand_never_raises(tmp_path):
    file = tmp_path / "cache.db"
    cache = Cache(file)
    cache.put_many({f"k{i}": "x" * 500 for i in range(200)})
    cache.close()
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert isinstance(Cache(file).get_many(["k1"]), dict)
    with contextlib.closing(sqlite3.connect(tmp_path / "hand.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE entries (key TEXT, value TEXT, size INTEGER, used REAL)")
        db.execute("INSERT INTO entries VALUES ('a', ?, 1, 0)", (pickle.dumps(print),))
    assert Cache(tmp_path / "hand.db").get_many(["a"]) == {}, "no JSON: never an answer"


def test_another_schema_is_begun_anew(tmp_path, caplog):
    with contextlib.closing(sqlite3.connect(tmp_path / "c.db")) as db:
        db.execute("PRAGMA user_version=99")
    with caplog.at_level(logging.WARNING):
        assert Cache(tmp_path / "c.db").get_many(["a"]) == {}
    assert "another version" in caplog.text


def test_where_nothing_can_be_written_memory_serves(tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    cache = Cache(tmp_path / "file" / "cache.db")
    with caplog.at_level(logging.WARNING):
        cache.put_many({"a": 1})
    assert cache.get_many(["a"]) == {"a": 1}
    assert "in memory" in caplog.text


def _write(path, start):
    cache = Cache(path)
    for i in range(start, start + 40):
        cache.put_many({f"k{i}": i})


def test_threads_and_processes_share_one_file(tmp_path):
    file = tmp_path / "cache.db"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write, args=(file, 1000 * i)) for i in range(2)]
    cache = Cache(file)
    threads = [
        threading.Thread(target=lambda i=i: [cache.put_many({f"t{i}-{j}": j}) for j in range(40)])
        for i in range(4)
    ]
    for worker in (*processes, *threads):
        worker.start()
    for worker in (*processes, *threads):
        worker.join()
    assert [p.exitcode for p in processes] == [0, 0]
    assert len(cache) == 2 * 40 + 4 * 40


def _begin(folder, i, barrier, lost):
    for turn in range(40):
        cache = Cache(folder / f"{turn}.db")
        barrier.wait(60)
        cache.put_many({f"k{i}": i})
        if cache.path is None:
            lost.put((turn, i))


def test_many_may_open_a_new_file_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, lost = context.Barrier(4), context.SimpleQueue()
    processes = [context.Process(target=_begin, args=(tmp_path, i, barrier, lost)) for i in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert lost.empty(), lost.get()
    assert [process.exitcode for process in processes] == [0] * 4
    assert [len(Cache(tmp_path / f"{turn}.db")) for turn in range(40)] == [4] * 40


def test_a_file_that_is_held_for_long_is_passed_by_and_used_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("facestats.surfaces.pipeline.cache.BUSY_SECONDS", 0.2)
    file = tmp_path / "c.db"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        new = Cache(file)
        with caplog.at_level(logging.WARNING):
            new.put_many({"a": 1})
            assert (new.get_many(["a"]), len(new)) == ({}, 0)
        assert "locked by another process" in caplog.text
        other.execute("ROLLBACK")
    new.put_many({"b": 2})
    assert new.get_many(["a", "b"]) == {"b": 2}
    assert Cache(file).get_many(["b"]) == {"b": 2}, "in the file, not in memory"


def test_reading_waits_for_no_writer(tmp_path):
    file = tmp_path / "c.db"
    cache = Cache(file)
    cache.put_many({"a": 1})
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        assert (Cache(file).get_many(["a", "b"]), len(Cache(file))) == ({"a": 1}, 1)
        assert (cache.get_many(["a"]), len(cache)) == ({"a": 1}, 1)
        assert time.monotonic() - begun < 5


def test_a_put_costs_the_same_however_much_is_kept(tmp_path):
    """Counted in steps of SQLite's machine, not in seconds."""
    cache = Cache(tmp_path / "c.db")
    steps = []
    for turn in range(2):
        cache.put_many({f"{turn}-{i}": "x" * 3000 for i in range(2000)})
        count = iter(range(10**9))
        cache._open().set_progress_handler(lambda count=count: next(count) * 0, 10)
        cache.put_many({f"one more {turn}": 1})
        cache._open().set_progress_handler(None, 0)
        steps.append(next(count))
    assert steps[1] <= steps[0] + 5
    assert steps[1] < 50


def test_what_was_replaced_dropped_or_found_is_counted_right(tmp_path):
    cache = Cache(tmp_path / "c.db", max_bytes=1000)
    for size in (10, 400, 20, 300):
        cache.put_many({"a": "x" * size, f"b{size}": 1})
    for i in range(50):
        cache.put_many({f"k{i}": "y" * 90})
        assert cache.get_many([f"k{i}"])
    cache.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "c.db")) as db:
        (counted,), (summed,) = db.execute("SELECT size FROM total UNION ALL SELECT sum(size) FROM entries")
    assert counted == summed <= 1000


def test_that_something_was_found_outlives_the_process(tmp_path):
    cache = Cache(tmp_path / "c.db", max_bytes=1000)
    for i in range(9):
        cache.put_many({f"k{i}": "x" * 90})
    cache.close()
    reader = Cache(tmp_path / "c.db", max_bytes=1000)
    reader.get_many(["k0"])
    reader.close()
    cache.put_many({f"new{i}": "x" * 90 for i in range(2)})
    assert set(cache.get_many(["k0", "k1"])) == {"k0"}


def test_a_cache_travels_to_other_processes(tmp_path):
    cache = Cache(tmp_path / "cache.db")
    cache.put_many({"a": [1]})
    assert pickle.loads(pickle.dumps(cache)).get_many(["a"]) == {"a": [1]}


def test_a_limit_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="got 0"):
        Cache(tmp_path / "c.db", max_bytes=0)
