"""The tables of a run as the page shows them: filtered, searched, drawn and averaged."""

from __future__ import annotations

import polars as pl
import pytest

from facestats.surfaces.page.gallery import Gallery


def test_the_gallery_filters_searches_and_averages(project):
    gallery = Gallery.open(project.config)
    everybody = gallery.choose({"age": None, "gender": ""})
    assert everybody.height == gallery.master.height > 0
    age = str(everybody["age"][0])
    some = gallery.choose({"age": age})
    assert some["age"].cast(pl.String).unique().to_list() == [age]
    ranked = gallery.search(some, "a person laughing", encoder=project.encoder, top=3)
    assert ranked["similarity"].is_sorted(descending=True)
    assert set(ranked["image_id"]) <= set(some["image_id"])
    assert len(gallery.thumbnails(everybody, limit=2)) == 2
    assert gallery.average(everybody).size == (512, 512)
    with pytest.raises(ValueError, match=r"3 to 2,000 faces, these are 1"):
        gallery.average(everybody.head(1))


def test_the_sentence_counts_what_is_shown(project, monkeypatch):
    gallery = Gallery.open(project.config)
    n = gallery.choose({"age": (age := str(gallery.master["age"][0]))}).height
    for limit, words, ending in (
        (60, "", "faces"),
        (60, "old", "faces, nearest to the text first"),
        (2, "", "faces, the first 2 are shown"),
        (2, "old", "faces, the 2 nearest to the text first"),
    ):
        monkeypatch.setattr("facestats.surfaces.page.gallery.MAX_SHOWN", limit)
        rows, sentence = gallery.find({"age": age}, words, encoder=project.encoder)
        assert sentence == f"**{n}** of 16 {ending}"
        assert rows.height == (n if limit == 60 or not words else 2)
    assert gallery.find({"age": "nobody"}, "old", encoder=project.encoder)[1] == "**0** of 16 faces"


@pytest.mark.parametrize("n", [0, 1, 16])
def test_the_map_shows_all_faces_and_tells_the_chosen_from_the_others(project, n):
    gallery = Gallery.open(project.config)
    (ax,) = gallery.draw_map(gallery.master.head(n)).axes
    assert sum(len(points.get_offsets()) for points in ax.collections) == gallery.master.height
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    n_others = gallery.master.height - n
    assert legend == {0: ["others (16)"], 1: [f"others ({n_others})", "selected (1)"], 16: ["0 (16)"]}[n]


def test_a_crop_that_is_gone_is_left_out(project):
    gallery = Gallery.open(project.config)
    rows = gallery.master.head(2).with_columns(crop=pl.Series(["gone.png", gallery.master["crop"][1]]))
    assert [name for _, name in gallery.thumbnails(rows)] == [rows["image_id"][1]]
