"""A file holds its old content or its new content, and no temporary file remains."""

import os
import stat
import subprocess
import sys

import pytest

from facestats.core.atomic_write import remove_leftovers, replacing, sync_folder, write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("content", "data"),
    [("ä\n", b"\xc3\xa4\n"), (b"\0\r\n", b"\0\r\n"), ((b"a", b"", b"b"), b"ab"), (b"", b"")],
)
def test_text_bytes_and_pieces_are_written_as_they_are(tmp_path, content, data):
    path = tmp_path / "file.bin"
    assert write_atomically(path, content) == path
    assert path.read_bytes() == data
    assert names(tmp_path) == ["file.bin"]


def test_the_folder_is_made_and_an_old_file_replaced(tmp_path):
    path = tmp_path / "new" / "deep" / "file.txt"
    write_atomically(path, "old and long")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert names(path.parent) == ["file.txt"]


def test_an_error_within_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def pieces():
        yield b"half"
        msg = "the source ended"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="the source ended"):
        write_atomically(path, pieces())
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def write_and_raise(path, content, error):
    with replacing(path) as temporary:
        if content is not None:
            temporary.write_text(content)
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("content", [None, "complete"])
def test_an_error_in_the_block_of_replacing_leaves_no_file(tmp_path, content, error):
    with pytest.raises(error):
        write_and_raise(tmp_path / "file.txt", content, error)
    assert names(tmp_path) == []


def test_a_block_that_writes_nothing_is_an_error_and_the_old_file_stays(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "old"


@pytest.mark.parametrize("durable", [True, False])
def test_the_file_appears_when_the_block_ends_and_not_before(tmp_path, durable):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(path, durable=durable) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file.txt"]


def test_another_temporary_name_may_be_given_and_the_longest_name_has_one(tmp_path):
    with replacing(tmp_path / "a", temporary=tmp_path / "a.part") as temporary:
        temporary.touch()
        assert names(tmp_path) == ["a.part"]
    longest = tmp_path / ("n" * 255)
    write_atomically(longest, "x")
    assert names(tmp_path) == ["a", longest.name]


@pytest.mark.parametrize("durable", [True, False])
def test_file_and_folder_reach_the_disk_where_it_is_asked_for(tmp_path, monkeypatch, durable):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(stat.S_ISDIR(os.fstat(handle).st_mode)))
    with replacing(tmp_path / "file.txt", durable=durable) as temporary:
        temporary.touch()
    assert synced == ([False, True] if durable else [])
    sync_folder(tmp_path)
    assert synced[-1:] == [True]


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot ask whether a process runs")
def test_temporary_files_of_killed_processes_are_removed_and_no_others(tmp_path):
    (tmp_path / "deep").mkdir()
    code = """
import os, pathlib, signal, sys
from facestats.core.atomic_write import replacing
with replacing(pathlib.Path(sys.argv[1])) as temporary:
    temporary.touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "deep/file.txt")], check=False)
    assert len(names(tmp_path / "deep")) == 1
    kept = [
        ".file.txt.tmp",
        "file.tmp",
        ".notes.00000000.999999999.tmp",
    ]  # the last one is of another machine
    for name in kept:
        (tmp_path / name).touch()
    with replacing(tmp_path / "mine") as temporary:
        temporary.touch()
        remove_leftovers(tmp_path)
        assert temporary.exists()
    assert names(tmp_path) == sorted([*kept, "deep", "mine"])
    assert names(tmp_path / "deep") == []
