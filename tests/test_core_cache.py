from __future__ import annotations

import json
import logging
import multiprocessing
import pickle
import sqlite3
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facestats.core.cache import Cache

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
    assert bool(damage) == ("begun anew" in caplog.text)


def test_a_file_cut_in_use_or_written_by_hand_never_raises(tmp_path):
    file = tmp_path / "cache.db"
    cache = Cache(file)
    cache.put_many({f"k{i}": "x" * 500 for i in range(200)})
    cache.close()
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert isinstance(Cache(file).get_many(["k1"]), dict)
    with sqlite3.connect(tmp_path / "hand.db") as db:
        db.execute("CREATE TABLE entries (key TEXT, value TEXT, size INTEGER, used REAL)")
        db.execute("INSERT INTO entries VALUES ('a', ?, 1, 0)", (pickle.dumps(print),))
    assert Cache(tmp_path / "hand.db").get_many(["a"]) == {}, "no JSON: never an answer"


def test_another_schema_is_begun_anew(tmp_path, caplog):
    with sqlite3.connect(tmp_path / "c.db") as db:
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


def test_a_cache_travels_to_other_processes(tmp_path):
    cache = Cache(tmp_path / "cache.db")
    cache.put_many({"a": [1]})
    assert pickle.loads(pickle.dumps(cache)).get_many(["a"]) == {"a": [1]}


def test_a_limit_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="got 0"):
        Cache(tmp_path / "c.db", max_bytes=0)
