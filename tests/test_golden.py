import json
import math

import numpy as np
import polars as pl
import pytest

from tests.golden import block_means, check_golden

TABLES = {
    "labels": pl.DataFrame({"image_id": ["a", "b", "c"], "score": [0.25, None, 1 / 3], "n": [1, 2, 3]}),
    "map": np.array([[1.0, 2.0], [3.0, 4000.5]]),
    "ok": [True, None, "text", math.nan],
    "r": 0.123456789,
}


@pytest.fixture
def pinned(tmp_path, monkeypatch):
    monkeypatch.setenv("FACESTATS_PIN", "1")
    check_golden("toys", 3, TABLES, folder=tmp_path)
    monkeypatch.delenv("FACESTATS_PIN")
    return tmp_path


def message(folder, version, tables):
    with pytest.raises(pytest.fail.Exception) as caught:
        check_golden("toys", version, tables, folder=folder)
    return str(caught.value)


def test_what_was_pinned_is_green_and_so_is_another_processor(pinned):
    check_golden("toys", 3, TABLES, folder=pinned)
    check_golden("toys", 3, TABLES | {"map": TABLES["map"] * (1 + 1e-5), "r": 0.12345}, folder=pinned)


def test_a_changed_number_is_red_and_says_where_and_what_to_do(pinned):
    changed = TABLES["labels"].with_columns(score=pl.Series([0.25, None, 0.334]))
    text = message(pinned, 3, TABLES | {"labels": changed})
    assert "the result of stage 'toys' changed but its VERSION is still 3. If no change was meant" in text
    assert (
        "src/facestats/toys, then pin again with: FACESTATS_PIN=1 pytest tests -k golden_values_of_toys"
        in text
    )
    assert "table labels, column score, row 2: pinned 0.333333, found 0.334" in text
    moved = TABLES["map"] + [[0, 0], [0, 1]]
    assert "table map, row 1 [1]: pinned 4000.5, found 4001.5" in message(pinned, 3, TABLES | {"map": moved})


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"labels": TABLES["labels"].with_columns(n=pl.Series([1, 2, 4]))}, "pinned 3, found 4"),
        ({"labels": TABLES["labels"].with_columns(score=0.25)}, "pinned null, found 0.25"),
        ({"labels": TABLES["labels"].drop("n")}, "column n is gone"),
        ({"labels": TABLES["labels"].with_columns(m=1)}, "column m is new"),
        ({"labels": TABLES["labels"].head(2)}, "column image_id has 2 values, pinned are 3"),
        ({"ok": [1, None, "text", math.nan]}, "pinned true, found 1"),
        ({"ok": [True, None, "test", math.nan]}, 'pinned "text", found "test"'),
        ({"ok": [True, None, "text", 0.0]}, 'pinned "nan", found 0.0'),
        ({"more": 1}, "table more is new"),
    ],
)
def test_texts_counts_and_shapes_are_compared_exactly(pinned, tables, words):
    assert words in message(pinned, 3, TABLES | tables)


def test_a_rough_table_bears_more_and_no_other_does(pinned):
    check_golden("toys", 3, TABLES | {"r": 0.124}, rough={"r": 1e-3}, folder=pinned)
    with pytest.raises(pytest.fail.Exception):
        check_golden("toys", 3, TABLES | {"r": 0.125}, rough={"r": 1e-3}, folder=pinned)
    with pytest.raises(pytest.fail.Exception):
        check_golden("toys", 3, TABLES | {"map": TABLES["map"] + 5e-4}, rough={"r": 1e-3}, folder=pinned)


def test_the_message_names_the_first_differences_only(pinned):
    text = message(pinned, 3, TABLES | {"map": TABLES["map"] + 1, "ok": ["other"] * 4})
    assert text.count("\n  - ") == 5
    assert text.endswith("and 3 more")


def test_of_an_error_only_the_numbers_count(tmp_path, monkeypatch):
    tables = {"faces": pl.DataFrame({"error": ["12x9 pixels, the limit is 16.", None]})}
    monkeypatch.setenv("FACESTATS_PIN", "1")
    check_golden("toys", 3, tables, folder=tmp_path)
    monkeypatch.delenv("FACESTATS_PIN")
    reworded = pl.DataFrame({"error": ["The picture has 12x9 pixels; it needs 16", None]})
    check_golden("toys", 3, {"faces": reworded}, folder=tmp_path)
    other = pl.DataFrame({"error": ["12x9 pixels, the limit is 17.", None]})
    assert 'pinned "12 9 16", found "12 9 17"' in message(tmp_path, 3, {"faces": other})


def test_a_raised_version_says_to_pin_again(pinned):
    text = message(pinned, 4, TABLES)
    assert (
        "stage 'toys' has VERSION 4, but golden_toys.json holds results of VERSION 3: pin again with" in text
    )


def test_a_stage_without_pinned_results_says_to_pin(tmp_path):
    assert "pin them with: FACESTATS_PIN=1 pytest" in message(tmp_path, 1, TABLES)


def test_floats_are_written_short(pinned):
    tables = json.loads((pinned / "golden_toys.json").read_text())["tables"]
    assert tables["r"] == 0.123457
    assert tables["labels"] == {"image_id": ["a", "b", "c"], "score": [0.25, None, 0.333333], "n": [1, 2, 3]}


def test_block_means_are_means_of_parts():
    pixels = np.arange(64.0).reshape(8, 8)
    assert block_means(pixels, 2).tolist() == [[13.5, 17.5], [45.5, 49.5]]
    assert block_means(np.dstack([pixels] * 3), 4).shape == (4, 4, 3)
