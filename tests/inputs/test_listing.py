import os

import pytest
from PIL import Image

from facestats.core.tables import STATUS
from facestats.inputs.listing import list_images
from facestats.pictures.paths import path_text, picture_path

ODD = [
    "with space.png",
    "портрет.png",
    "顔.png",
    "😀.png",
    "new\nline.png",
    "tab\t.png",
    "quote'\".png",
    "-rf.png",
    "%2e.png",
    "[a]*?.png",
    "$(x).png",
    "=1+1.png",
    "<script>.png",
    "e\u0301.png",
    "\u00e9.png",
    "A.PNG",
    "a.png",
    "n" * 251 + ".png",
    "dots...png",
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16)).save(path, "PNG")
    return path


def statuses(frame):
    return dict(zip(frame["image_id"], frame["status"], strict=True))


@pytest.mark.parametrize("name", ODD)
def test_a_file_of_any_name_is_listed_and_can_be_opened(folder, name):
    path = put(folder / name)
    frame = list_images(folder)
    assert frame["image_id"].to_list() == [name]
    assert picture_path(frame["path"][0]) == path
    assert frame["bytes"][0] == path.stat().st_size
    assert frame["mtime_ns"][0] == path.stat().st_mtime_ns
    assert frame["status"].to_list() == [None]


@pytest.mark.parametrize("raw", [b"caf\xe9.png", b"\xff\xfe.png", b"100%\xe9.png"])
def test_a_name_that_is_not_utf8_is_percent_encoded_and_can_be_opened(folder, raw):
    path = put(folder / os.fsdecode(raw))
    frame = list_images(folder)
    assert frame["image_id"][0].isascii()
    assert "%" in frame["image_id"][0]
    assert picture_path(frame["path"][0]).samefile(path)
    assert path_text(path) == frame["path"][0]


def test_two_names_with_the_same_encoding_are_two_rows(folder):
    put(folder / os.fsdecode(b"caf\xe9.png"))
    put(folder / "caf%E9.png")
    frame = list_images(folder)
    assert frame["image_id"].n_unique() == frame.height == 2
    assert sorted(statuses(frame).values(), key=str) == [None, "unreadable"]


def test_rows_are_sorted_by_key_and_subfolders_are_included(folder):
    for name in ("b/2.png", "a/z/1.png", "c.png", "a.png"):
        put(folder / name)
    assert list_images(folder)["image_id"].to_list() == ["a.png", "a/z/1.png", "b/2.png", "c.png"]


def test_the_content_decides_if_the_suffix_is_no_picture_suffix(folder):
    put(folder / "no_suffix")
    put(folder / "picture.txt")
    (folder / "notes.txt").write_text("BM and P1 and other notes")
    (folder / "caption.jpg").write_text(
        "a text with the suffix of a picture is listed, and fails when it is decoded"
    )
    (folder / ".hidden.png").write_bytes((folder / "no_suffix").read_bytes())
    put(folder / ".thumbnails" / "x.png")
    assert list_images(folder)["image_id"].to_list() == ["caption.jpg", "no_suffix", "picture.txt"]


def test_pipes_and_broken_links_are_rows_and_are_never_opened(folder, tmp_path):
    os.mkfifo(folder / "pipe.jpg")
    (folder / "nowhere.jpg").symlink_to(folder / "gone.jpg")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    (folder / "outside.jpg").symlink_to(put(tmp_path / "secret.png"))
    (folder / "zero.jpg").symlink_to("/dev/zero")
    put(folder / "good.png")
    frame = list_images(folder)
    assert frame.schema["status"] == STATUS
    assert statuses(frame) == {
        "good.png": None,
        "loop.jpg": "unreadable",
        "nowhere.jpg": "unreadable",
        "outside.jpg": "not_regular_file",
        "pipe.jpg": "not_regular_file",
        "zero.jpg": "not_regular_file",
    }
    assert frame.filter(frame["status"].is_not_null())["error"].null_count() == 0
    assert statuses(list_images(folder, follow_links=True))["outside.jpg"] is None


def test_a_folder_is_listed_once_although_several_links_lead_to_it(folder, tmp_path):
    put(folder / "deep" / "a.png")
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "again").symlink_to(folder / "deep")
    (tmp_path / "other").mkdir()
    put(tmp_path / "other" / "b.png")
    (folder / "link").symlink_to(tmp_path / "other")
    (folder / "link2").symlink_to(tmp_path / "other")
    assert list_images(folder)["image_id"].to_list() == ["deep/a.png"]
    assert len(list_images(folder, follow_links=True)) == 2


def test_a_link_within_the_folder_is_a_picture_as_well(folder):
    (folder / "copy.png").symlink_to(put(folder / "a.png"))
    assert statuses(list_images(folder)) == {"a.png": None, "copy.png": None}


def test_the_folder_may_itself_be_a_link(folder, tmp_path):
    put(folder / "a.png")
    (tmp_path / "alias").symlink_to(folder)
    assert list_images(tmp_path / "alias")["image_id"].to_list() == ["a.png"]


def test_a_folder_with_the_name_of_a_picture_is_a_folder(folder):
    put(folder / "album.jpg" / "a.png")
    assert list_images(folder)["image_id"].to_list() == ["album.jpg/a.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_a_row(folder):
    put(folder / "a.png")
    put(folder / "closed" / "b.png")
    (folder / "closed").chmod(0)
    assert statuses(list_images(folder)) == {"a.png": None, "closed": "permission_denied"}
    (folder / "closed").chmod(0o755)


def test_a_folder_without_pictures_is_an_error_that_counts_its_files(folder):
    (folder / "notes.txt").write_text("no picture")
    with pytest.raises(FileNotFoundError, match="1 other file"):
        list_images(folder)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        list_images(folder / "missing")
