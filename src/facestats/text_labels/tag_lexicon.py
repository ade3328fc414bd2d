"""Look attributes up in lists of tags: an exact tag of one option decides, anything else is left open."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facestats.core.config import AttributeSettings

Found = tuple[str, str]  # option, and the tag as the text has it
_SEPARATOR = re.compile(r"[,;|\n]+")
_SENTENCE = re.compile(r"[.!?]\s+\S|[.!?]$")
WORDS_PER_TAG = 3


def find_tags(
    texts: Sequence[str], attributes: Mapping[str, AttributeSettings]
) -> dict[str, dict[int, Found]]:
    """Find what lists of tags state in so many words.

    Parameters
    ----------
    texts
        Any texts; those that are no list of tags are passed over.
    attributes
        ``cfg.attributes``; `tags` of each option are its lexicon.

    Returns
    -------
    Per attribute, number of the text to (option, tag). An attribute of which a text names two options,
    or none, is not in it.
    """
    lexicons = {
        name: {_normal(tag): option for option, words in attribute.options.items() for tag in words.tags}
        for name, attribute in attributes.items()
    }
    found: dict[str, dict[int, Found]] = {name: {} for name in attributes}
    for number, text in enumerate(texts):
        if not is_tag_list(text):
            continue
        tags = [tag.strip() for tag in _SEPARATOR.split(text) if tag.strip()]
        for name, lexicon in lexicons.items():
            hits = {lexicon[_normal(tag)]: tag for tag in reversed(tags) if _normal(tag) in lexicon}
            if len(hits) == 1:
                found[name][number] = next(iter(hits.items()))
    return found


def is_tag_list(text: str) -> bool:
    """Tell whether a text is a list of tags: short pieces between commas, and no sentence."""
    pieces = [piece for piece in _SEPARATOR.split(text) if piece.strip()]
    if len(pieces) < 2 or _SENTENCE.search(text.strip()):
        return False
    words = sorted(len(piece.replace("_", " ").split()) for piece in pieces)
    return words[len(words) // 2] <= WORDS_PER_TAG


def _normal(tag: str) -> str:
    """Write a tag in one way: lower case, one space between words, no weight such as (black hair:1.2)."""
    bare = re.sub(r":\d+(\.\d+)?", "", tag).strip(" ()[]{}")
    return " ".join(bare.lower().replace("_", " ").replace("-", " ").split())
