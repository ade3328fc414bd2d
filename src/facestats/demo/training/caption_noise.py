"""Add noise to captions for training: unknown words, odd punctuation and neutral sentences, which change no meaning."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from facestats.demo.writing import words

if TYPE_CHECKING:
    import numpy as np

NEUTRAL = (
    "The light is soft.",
    "The weather was fine that day.",
    "The picture was found in an old box.",
    "Nobody knows where this was.",
    "It was posted yesterday.",
    "The camera stood on a table.",
    "The frame is made of wood.",
    "There is some noise in the corner.",
    "The background is blurred.",
    "A green lamp hangs from the ceiling.",
    "The walls are white and brown.",
    "Many thanks to everyone who helped.",
    "It took two hours to finish.",
    "The street was long and empty.",
    "A black cat sleeps on the red sofa.",
    "The sky was gray and heavy.",
    "More pictures of this series will follow.",
    "The artist works in a modern building.",
    "File 12 of 40.",
)
# Words that can be replaced by any other without changing what a caption says.
_EMPTY = (
    "photo portrait picture drawing image stands looks camera park studio street window home smiling laughing sitting"
    " facing standing chair wall solo detailed masterpiece smile quality upper person individual character human tied"
    " pulled pinned woven falling hanging worn gently seems wears wearing dressed features roots descent heritage"
    " scarf bag hat car door book lamp flower background walks stands sits talking holding leaning"
)
_SEPARATORS = (" / ", " | ", " - ", " + ", " * ", "\n", " ; ", "  ")


def roughen(text: str, rng: np.random.Generator, *, tags: bool) -> str:
    """Add noise to a caption without changing what it says.

    Parameters
    ----------
    text
        A caption of the training split.
    rng
        Source of chance.
    tags
        Whether it is a tag list, whose separators may change.

    Returns
    -------
    str
        The text with invented modifiers ("grolish blue eyes"), with invented words in place of empty ones, with
        other separators, or with neutral sentences around it; half of the texts stay as they are.
    """
    if rng.random() < 0.6:
        text = _modifiable().sub(lambda found: _modify(found[0], rng), text)
        text = _empty().sub(lambda found: invent_word(rng) if rng.random() < 0.2 else found[0], text)
    if tags and rng.random() < 0.15:
        separator = _SEPARATORS[int(rng.random() * len(_SEPARATORS))]
        text = re.sub(r"\s*[,;|]\s*", lambda _: separator, text)
    if rng.random() < 0.15:
        extra = [NEUTRAL[i] for i in rng.integers(len(NEUTRAL), size=1 + int(rng.integers(8)))]
        place = int(rng.integers(len(extra) + 1))
        text = " ".join([*extra[:place], text if text.endswith(".") else f"{text}.", *extra[place:]])
    return text


def invent_word(rng: np.random.Generator) -> str:
    """Invent a word of one to three syllables without meaning."""
    consonants, vowels = "bcdfghjklmnpqrstvwxyz", "aeiou"
    syllables = []
    for _ in range(1 + int(rng.random() * 3)):
        draws = rng.random(4)
        start, vowel = consonants[int(draws[0] * 21)], vowels[int(draws[1] * 5)]
        syllables.append(start + vowel + (consonants[int(draws[2] * 21)] if draws[3] < 0.5 else ""))
    endings = ("", "", "y", "ish", "ed", "ing", "s", "ly")
    return "".join(syllables) + endings[int(rng.random() * len(endings))]


def _modify(word: str, rng: np.random.Generator) -> str:
    """Put an invented modifier before a word, in 12 % of cases."""
    if rng.random() > 0.12:
        return word
    return invent_word(rng) + ("-" if rng.random() < 0.35 else " ") + word


@cache
def _modifiable() -> re.Pattern[str]:
    """Match words that keep their meaning after a modifier: single adjectives and nouns of the training lexicon."""
    books: list[Any] = [*words.ADJECTIVES.values(), words.DRESS, words.STYLE_NOUNS, words.NOUNS["adult"]]
    phrases = {
        phrase.removeprefix("a ").replace("{c}", "")
        for book in books
        for entry in book.values()
        for phrase in words.parse_phrases(entry)["train"]
    }
    single = sorted(
        {p for p in phrases if re.fullmatch(r"[A-Za-z]+", p)} | {"hair", "eyes", "build", "clothes"}
    )
    return re.compile(rf"(?<![\w-])({'|'.join(single)})(?![\w-])", re.IGNORECASE)


@cache
def _empty() -> re.Pattern[str]:
    """Match the empty words."""
    return re.compile(rf"(?<![\w-])({'|'.join(sorted(set(_EMPTY.split())))})(?![\w-])", re.IGNORECASE)
