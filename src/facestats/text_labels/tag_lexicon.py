"""Look up attributes in lists of tags. An attribute gets a label only if the tags name exactly one option."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facestats.core.attribute_settings import AttributeSettings

TagHit = tuple[str, str]  # option, and the tag as it is written in the text
_SEPARATOR = re.compile(r"[,;|\n]+")
_SENTENCE = re.compile(r"[.!?]\s+\S|[.!?]$")
WORDS_PER_TAG = 3  # the median piece of a tag list has at most this many words


def find_tags(
    texts: Sequence[str], attributes: Mapping[str, AttributeSettings]
) -> dict[str, dict[int, TagHit]]:
    """Find the options whose exact tags occur in lists of tags.

    Parameters
    ----------
    texts
        Any texts; those that are not lists of tags are skipped.
    attributes
        ``cfg.attributes``; the `tags` of each option are its lexicon.

    Returns
    -------
    For each attribute, a mapping from the index of a text to its (option, tag). A text that names no option of the
    attribute, or several, is not in it.
    """
    lexicons = {
        name: {_normalize(tag): option for option, words in attribute.options.items() for tag in words.tags}
        for name, attribute in attributes.items()
    }
    found: dict[str, dict[int, TagHit]] = {name: {} for name in attributes}
    for index, text in enumerate(texts):
        if not is_tag_list(text):
            continue
        tags = [tag.strip() for tag in _SEPARATOR.split(text) if tag.strip()]
        for name, lexicon in lexicons.items():
            hits = {lexicon[_normalize(tag)]: tag for tag in reversed(tags) if _normalize(tag) in lexicon}
            if len(hits) == 1:
                found[name][index] = next(iter(hits.items()))
    return found


def is_tag_list(text: str) -> bool:
    """Return whether a text is a list of tags: short pieces between separators, and no sentence."""
    pieces = [piece for piece in _SEPARATOR.split(text) if piece.strip()]
    if len(pieces) < 2 or _SENTENCE.search(text.strip()):
        return False
    words = sorted(len(piece.replace("_", " ").split()) for piece in pieces)
    return words[len(words) // 2] <= WORDS_PER_TAG


def _normalize(tag: str) -> str:
    """Normalize a tag: lower case, one space between words, no weight as in (black hair:1.2)."""
    bare = re.sub(r":\d+(\.\d+)?", "", tag).strip(" ()[]{}")
    return " ".join(bare.lower().replace("_", " ").replace("-", " ").split())
