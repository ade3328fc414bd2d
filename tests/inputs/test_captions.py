from __future__ import annotations

import json
import logging

import polars as pl
import pytest
from PIL import Image

from facestats.inputs.captions import list_captions
from facestats.inputs.textfiles import CaptionError


def pictures(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20)).save(folder / name)


def found(folder):
    return dict(list_captions(folder).iter_rows())


TRICKY = ["plain", 'quotes " and, commas', "two\nlines", "=HYPERLINK()", "007", "ünïcödé 日本 🎉"]


def write_csv(file, rows, *, separator=",", encoding="utf-8"):
    import csv

    with file.open("w", newline="", encoding=encoding) as stream:
        writer = csv.writer(stream, delimiter=separator)
        writer.writerow(["file_name", "text"])
        writer.writerows(rows)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("kind", ["csv", "semicolon", "tab", "jsonl", "parquet", "txt"])
def test_captions_are_read_as_they_were_written(tmp_path, kind, encoding):
    names = [f"p{i}.jpg" for i in range(len(TRICKY))]
    pictures(tmp_path, *names)
    rows = list(zip(names, TRICKY, strict=True))
    if kind in {"csv", "semicolon", "tab"}:
        separator = {"csv": ",", "semicolon": ";", "tab": "\t"}[kind]
        write_csv(tmp_path / "metadata.csv", rows, separator=separator, encoding=encoding)
    elif kind == "jsonl":
        lines = [json.dumps({"file_name": n, "text": t, "width": 3}, ensure_ascii=False) for n, t in rows]
        (tmp_path / "metadata.jsonl").write_text("\n".join(lines), encoding=encoding)
    elif kind == "parquet":
        pl.DataFrame(rows, schema=["file_name", "caption"], orient="row").write_parquet(
            tmp_path / "metadata.parquet"
        )
    else:
        for name, text in rows:
            (tmp_path / name).with_suffix(".txt").write_text(text, encoding=encoding)
    assert found(tmp_path) == dict(rows)


def test_names_are_relative_to_the_folder_of_their_metadata_file(tmp_path):
    pictures(tmp_path, "a.jpg", "sub/a.jpg", "sub/deep/b.png", "c.jpg")
    write_csv(tmp_path / "metadata.csv", [("a.jpg", "top"), ("./sub/deep/../a.jpg", "below")])
    write_csv(tmp_path / "sub" / "metadata.csv", [("deep\\b.png", "deep")])
    assert found(tmp_path) == {"a.jpg": "top", "sub/a.jpg": "below", "sub/deep/b.png": "deep", "c.jpg": None}


def test_captions_without_a_picture_are_counted(tmp_path, caplog):
    pictures(tmp_path, "a.jpg")
    write_csv(tmp_path / "metadata.csv", [("a.jpg", "x"), ("b.jpg", "y"), ("../a.jpg", "z"), ("c.jpg", "")])
    with caplog.at_level(logging.WARNING):
        assert found(tmp_path) == {"a.jpg": "x"}
    assert "3 of 4 names match no picture" in caplog.text


def test_two_captions_for_one_picture_are_an_error_that_names_it(tmp_path):
    pictures(tmp_path, "a.jpg", "b.jpg")
    write_csv(tmp_path / "metadata.csv", [("a.jpg", "x"), ("b.jpg", "y")])
    (tmp_path / "b.txt").write_text("z")
    with pytest.raises(CaptionError, match=r"'b\.jpg'.*metadata\.csv.*b\.txt"):
        list_captions(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("metadata.csv", b"a.jpg,x\n", ["metadata.csv", "file_name"]),
        ("metadata.csv", b"", ["metadata.csv"]),
        ("metadata.csv", b"file_name,text\na.jpg,x,y,z\n", ["metadata.csv"]),
        ("metadata.csv", b"file_name,text\na.jpg,x\nb.jpg,caf\x81\n", ["metadata.csv", "line 3", "UTF-8"]),
        ("metadata.csv", b"file_name,text,text\na.jpg,x,y\n", ["metadata.csv", "'text' twice"]),
        ("metadata.csv", b'file_name,text\na.jpg,"x\n', ["metadata.csv", "line 2", "quote"]),
        (
            "metadata.csv",
            b"file_name,text\nanna.jpg,x\n",
            ["none of its 1 names", "'anna.jpg' (the nearest is 'a.jpg')"],
        ),
        (
            "metadata.jsonl",
            b'{"file_name": "a.jpg", "text": "x"}\n{"file_name":\n',
            ["metadata.jsonl", "line 2"],
        ),
        ("metadata.jsonl", b"[1]\n", ["metadata.jsonl", "line 1"]),
        ("metadata.jsonl", b"[" * 100_000, ["metadata.jsonl", "line 1"]),
        ("metadata.parquet", b"PAR1 no PAR1", ["metadata.parquet"]),
        ("a.txt", b"ok\n\xff\xfe\x81", ["a.txt", "line 2"]),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, *, name, content, words):
    pictures(tmp_path, "a.jpg")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CaptionError) as error:
        list_captions(tmp_path)
    assert all(word in str(error.value) for word in words)


def test_a_lone_surrogate_is_replaced(tmp_path):
    pictures(tmp_path, "a.jpg")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.jpg", "text": "x\\ud800y"}')
    assert found(tmp_path) == {"a.jpg": "x?y"}


def test_only_line_feeds_end_a_line(tmp_path):
    odd = "one\u2028two\x0cthree\x85four"
    file = tmp_path / "texts.txt"
    file.write_bytes(f"{odd}\r\na man\n".encode())
    assert list_captions(file)["text"].to_list() == [odd, "a man"]
    file = tmp_path / "texts.jsonl"
    file.write_text(json.dumps({"id": 7, "text": odd}, ensure_ascii=False) + "\n")
    assert list_captions(file).rows() == [("7", odd)]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_lists_of_tags_are_texts(tmp_path, suffix):
    file = tmp_path / f"texts{suffix}"
    tags = pl.DataFrame({"id": ["1", "2"], "tags": [["red hair", "1girl"], []]})
    tags.write_ndjson(file) if suffix == ".jsonl" else tags.write_parquet(file)
    assert list_captions(file).rows() == [("1", "red hair, 1girl"), ("2", "")]


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t"), (".csv", ";")])
def test_a_table_of_texts_without_pictures_keeps_its_own_names(tmp_path, suffix, separator):
    file = tmp_path / f"texts{suffix}"
    file.write_text(separator.join(["id", "caption"]) + "\n" + separator.join(["7", "a man"]) + "\n")
    assert list_captions(file).rows() == [("7", "a man")]


def test_texts_without_names_are_named_by_content(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("a man\na woman\na man\n")
    first = list_captions(file)
    assert first["text"].to_list() == ["a man", "a woman", "a man"]
    assert first["image_id"].is_unique().all()
    file.write_text("somebody new\na man\na woman\na man\n")
    second = list_captions(file)
    assert second["image_id"].to_list()[1:] == first["image_id"].to_list(), (
        "a further line changes no other name"
    )


def test_a_column_that_does_not_exist_is_an_error_that_lists_the_columns(tmp_path):
    file = tmp_path / "texts.csv"
    file.write_text("id,words\n1,a man\n")
    with pytest.raises(CaptionError, match=r"texts\.csv.*'captoin'.*'id', 'words'"):
        list_captions(file, text="captoin")
    with pytest.raises(CaptionError, match=r"\['id', 'words'\]"):
        list_captions(file)
    assert list_captions(file, text="words")["text"].to_list() == ["a man"]


def test_names_that_repeat_are_an_error(tmp_path):
    file = tmp_path / "texts.csv"
    file.write_text("id,text\n1,a\n1,b\n")
    with pytest.raises(CaptionError, match="'1' twice"):
        list_captions(file)


def test_an_encoding_that_is_given_is_used_and_an_unknown_one_named(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_bytes("caf\xe9\n".encode("latin-1"))
    assert list_captions(file, encoding="latin-1")["text"].to_list() == ["caf\xe9"]
    file.write_bytes(b"caf\x81\n")
    with pytest.raises(CaptionError, match=r"line 1: not UTF-8.*latin-1"):
        list_captions(file)
    with pytest.raises(CaptionError, match="latin-99"):
        list_captions(file, encoding="latin-99")


def test_a_file_of_another_kind_is_refused_by_name(tmp_path):
    file = tmp_path / "texts.docx"
    file.write_bytes(b"PK")
    with pytest.raises(CaptionError, match=r"\.csv.*not from \.docx"):
        list_captions(file)


def test_metadata_without_texts_has_no_captions(tmp_path):
    pictures(tmp_path, "a.jpg")
    (tmp_path / "metadata.csv").write_text("file_name,true_gender,licence\na.jpg,male,CC0\n")
    assert found(tmp_path) == {"a.jpg": None}


@pytest.mark.parametrize(
    "content",
    [
        b"file_name;text\r\na.jpg;x, y\r\n",
        b"sep=;\r\nfile_name;text\r\na.jpg;x, y\r\n",
        b'file_name,text\ra.jpg,"x, y"\r',
        b'file_name, text\na.jpg, "x, y"\n',
        b'File_Name,Text\na.jpg,"x, y"\n',
        b"\xef\xbb\xbffile_name\ttext\na.jpg\tx, y\n",
        b'file_name,text,\na.jpg,"x, y",\n',
    ],
)
def test_a_csv_is_read_as_people_write_it(tmp_path, content):
    pictures(tmp_path, "a.jpg")
    (tmp_path / "metadata.csv").write_bytes(content)
    assert found(tmp_path) == {"a.jpg": "x, y"}


def test_windows_1252_is_read_and_said(tmp_path, caplog):
    pictures(tmp_path, "a.jpg")
    (tmp_path / "metadata.csv").write_bytes("file_name,text\na.jpg,J\xfcrgen\n".encode("cp1252"))
    assert found(tmp_path) == {"a.jpg": "J\xfcrgen"}
    assert "read as Windows-1252; see whether line 2 is right: 'a.jpg,J\xfcrgen'" in caplog.text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "hello"),
        ("a.TXT", "hello"),
        ("a.jpg.txt", "hello"),
        ("a.caption", "hello"),
        ("a.json", '{"caption": "hello", "url": "x"}'),
        ("captions.csv", "file_name,caption\na.jpg,hello\n"),
        ("Metadata.CSV", "file_name,caption\na.jpg,hello\n"),
        ("metadata.json", '[{"file_name": "a.jpg", "text": "hello"}]'),
        ("meta_cap.json", '{"a": {"caption": "hello"}}'),
        ("metadata.jsonl", '{"file_name": "a.jpg", "text": "hello"}'),
    ],
)
def test_the_usual_layouts_of_captions_are_read(tmp_path, name, content):
    pictures(tmp_path, "a.jpg")
    (tmp_path / name).write_text(content)
    assert found(tmp_path) == {"a.jpg": "hello"}


def test_texts_that_belong_to_no_picture_are_counted_and_named(tmp_path, caplog):
    pictures(tmp_path, "a.jpg")
    for name in ("notes.txt", "b.caption", "all.xlsx", "ratings.csv", "labels.csv"):
        (tmp_path / name).write_text("x")
    assert found(tmp_path) == {"a.jpg": None}
    assert (
        "3 files beside the pictures are not read: all.xlsx, b.caption, notes.txt (save a spreadsheet as metadata.csv)"
        in caplog.text
    )


def test_a_caption_belongs_to_the_picture_of_the_same_spelling(tmp_path):
    pictures(tmp_path, "A.jpg", "a.jpg", "J\xfcrgen.jpg", "anna b.jpg", "x.jpg")
    files = {
        "A.txt": "upper",
        "a.txt": "lower",
        "Ju\u0308rgen.txt": "nfd",
        "anna%20b.txt": "spaces",
        "X.caption": "x",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert found(tmp_path) == {
        "A.jpg": "upper", "a.jpg": "lower", "J\xfcrgen.jpg": "nfd", "anna b.jpg": "spaces", "x.jpg": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    "caption", [{"text": "hello"}, [{"Caption": "hello"}], ["hello"], {"tags": ["hello"]}]
)
def test_captions_in_objects_and_lists_are_texts(tmp_path, caption):
    pictures(tmp_path, "a.jpg")
    row = {"file_name": "a.jpg", "captions": caption}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row))
    assert found(tmp_path) == {"a.jpg": "hello"}
    (tmp_path / "metadata.jsonl").unlink()
    pl.DataFrame([row]).write_parquet(tmp_path / "metadata.parquet")
    assert found(tmp_path) == {"a.jpg": "hello"}


def test_bars_separate_cells_and_a_header_that_is_separated_otherwise_is_refused(tmp_path):
    pictures(tmp_path, "a.jpg")
    (tmp_path / "captions.csv").write_text("file_name|text\na.jpg|x, y\n")
    assert found(tmp_path) == {"a.jpg": "x, y"}
    (tmp_path / "captions.csv").write_text("file_name,text\na.jpg;x\n")
    with pytest.raises(CaptionError, match="separated by ',', and its rows are not: line 2 is 'a.jpg;x'"):
        found(tmp_path)


def test_one_object_is_one_row_and_zero_bytes_are_no_text(tmp_path):
    pictures(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "metadata.json").write_text('{"file_name": "a.jpg", "text": "A woman."}')
    assert found(tmp_path) == {"a.jpg": "A woman.", "b.jpg": None}
    (tmp_path / "metadata.json").write_text('{"a.jpg": {"caption": "x"}, "b.jpg": "plain"}')
    assert found(tmp_path) == {"a.jpg": "x", "b.jpg": "plain"}
    (tmp_path / "metadata.json").unlink()
    (tmp_path / "captions.csv").write_bytes("file_name,text\na.jpg,x\n".encode("utf-16-le"))
    with pytest.raises(CaptionError, match="holds zero bytes, as UTF-16 without its mark"):
        found(tmp_path)
