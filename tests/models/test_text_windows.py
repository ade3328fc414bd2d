from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facestats.models.text_windows import split_text


def words(text):
    return len(text.split()) + sum(
        len(w) // 12 for w in text.split()
    )  # long words cost more, as word pieces do


@given(text=st.text(st.sampled_from("ab ,.!?\n;\u3002x"), max_size=300), limit=st.integers(1, 12))
def test_nothing_is_lost_and_every_window_fits(text, limit):
    windows = split_text(text, limit, words)
    assert "".join("".join(windows).split()) == "".join(text.split())
    assert all(words(w) <= limit or len(w) == 1 for w in windows)


@given(text=st.text(max_size=80))
def test_a_text_that_fits_is_left_alone(text):
    assert split_text(text, words(text) + 1, words) == [text]


def test_windows_end_where_sentences_end():
    text = "He is old. His hair is red. He wears a suit, and a tie."
    assert split_text(text, 7, words) == ["He is old. His hair is red.", "He wears a suit, and a tie."]
    assert split_text(text, 4, words)[:2] == ["He is old.", "His hair is red."]
    assert split_text(text, 4, words)[2:] == ["He wears a suit,", "and a tie."]


def test_a_limit_below_one_is_refused():
    with pytest.raises(ValueError, match="limit of 0"):
        split_text("a", 0, words)
