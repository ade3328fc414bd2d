import os
import signal
import subprocess
import sys
import textwrap

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import facestats as fs
from facestats.human_labels.answers_file import COLUMNS, LabelError
from tests.human_labels.gender_and_hair import ATTRIBUTES


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000))
@example(-8)  # cut before the reason, which may be empty; all other fields are there
def test_a_file_cut_anywhere_keeps_its_whole_lines_and_goes_on(tmp_path_factory, cut):
    file = tmp_path_factory.mktemp("labels") / "labels.csv"
    for i in range(3):
        fs.human_labels.write(
            file, f"{i}.png", attribute="hair", value="red", labeller="anna", reason="random"
        )
    data = file.read_bytes()
    cut %= len(data) + 1
    file.write_bytes(data[:cut])
    whole = max(data[:cut].count(b"\n") - 1, 0)
    complete = data[:cut].endswith((b"random", b"+00:00,"))  # only the line end is missing
    assert fs.human_labels.read(file, ATTRIBUTES).height == whole + complete
    fs.human_labels.write(file, "new.png", attribute="hair", value="black", labeller="anna")
    labels = fs.human_labels.read(file, ATTRIBUTES)
    assert labels.height == whole + complete + 1
    assert file.read_bytes().startswith(",".join(COLUMNS).encode())


def test_an_incomplete_last_line_is_removed_with_a_message(tmp_path, caplog):
    file = tmp_path / "labels.csv"
    fs.human_labels.write(file, "a.png", attribute="hair", value="red", labeller="anna")
    with file.open("a") as stream:
        stream.write("b.png,hai")
    assert fs.human_labels.read(file, ATTRIBUTES)["image_id"].to_list() == ["a.png"]
    assert "half written" in caplog.text
    assert "b.png,hai" in caplog.text
    assert file.read_bytes().endswith(b"\n")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_killed_writer_loses_nothing_that_was_acknowledged(tmp_path):
    file = tmp_path / "labels.csv"
    code = f"""
        import facestats as fs
        for i in range(100000):
            fs.human_labels.write({str(file)!r}, f"{{i}}.png", attribute="hair", value="red", labeller="anna")
            print(i, flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    done = [int(process.stdout.readline()) for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    done += [int(line) for line in process.communicate()[0].split()]
    known = set(fs.human_labels.read(file, ATTRIBUTES)["image_id"])
    assert {f"{i}.png" for i in done} <= known
    assert len(known) <= len(done) + 1


def test_answers_follow_the_columns_and_the_separator_of_the_file(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text(
        "labeller;image_id;attribute;value\nben;a.png;hair;red"
    )  # editors may omit the last line end
    fs.human_labels.write(file, "b.png", attribute="hair", value="black", labeller="anna", reason="random")
    labels = fs.human_labels.read(file, ATTRIBUTES)
    assert labels.select("image_id", "value", "reason").rows() == [
        ("a.png", "red", None),
        ("b.png", "black", None),
    ]


def test_what_cannot_be_a_line_is_refused(tmp_path):
    with pytest.raises(LabelError, match="line break"):
        fs.human_labels.write(tmp_path / "l.csv", "a\nb.png", attribute="hair", value="red", labeller="anna")
    with pytest.raises(LabelError, match="reason must be one of low_margin"):
        fs.human_labels.write(
            tmp_path / "l.csv", "a.png", attribute="hair", value="red", labeller="anna", reason="fun"
        )
    assert not (tmp_path / "l.csv").exists()
