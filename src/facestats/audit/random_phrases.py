"""Tell phrases that mean something to a model from meaningless ones, by comparison with random letters."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facestats.core.attribute_settings import AttributeSettings

N_RANDOM = 99  # random phrases
MAX_PICTURES = 2000  # more vectors than this are thinned out
MEANINGLESS = 1.5  # SDs from the random phrases, below which a phrase counts as meaningless
_LETTERS = list("bcdfghjklmnpqrstvwxz")  # without vowels, real words hardly ever arise
_WORD = re.compile(r"[^\W\d_]+")


class TextEncoder(Protocol):
    """Turns texts into unit vectors."""

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts into (n, dim) unit vectors."""


def measure_meaning(
    encoder: TextEncoder, attribute: AttributeSettings, vectors: NDArray[np.float32], *, seed: int = 0
) -> dict[tuple[str, str], float]:
    """Measure how much further each phrase lies from random letters than these lie from each other.

    Parameters
    ----------
    encoder, attribute
        The encoder, and the attribute whose prompts (templates times phrases) it encodes.
    vectors
        Vectors of pictures, (n, dim), in the view of the attribute. They show whether a phrase distinguishes pictures.
    seed
        Seed of the 99 phrases of random consonants.

    Returns
    -------
    By option and phrase: the distance from the centre of the random phrases, minus their own mean distance, in SDs of
    their own distances. It is measured among the vectors of texts and among the similarities to the pictures; the
    larger value counts.
    """
    rng = np.random.default_rng(seed)
    random = [_random_phrase(rng) for _ in range(N_RANDOM)]
    phrases = [(option, p) for option, settings in attribute.options.items() for p in settings.image]
    # The random phrases have a call of their own: an encoder with a cache then encodes them once for all attributes
    # with the same templates.
    by_template = np.concatenate(
        [_encode(encoder, part, attribute.image_templates) for part in (random, [p for _, p in phrases])]
    )
    mean = by_template.mean(axis=1, dtype=np.float64)
    unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    pictures = vectors[:: max(1, -(-len(vectors) // MAX_PICTURES))]
    spaces = [unit] if not len(pictures) else [unit, unit @ pictures.T.astype(np.float64)]
    found = np.max([_distances(space) for space in spaces], axis=0)
    return dict(zip(phrases, found.tolist(), strict=True))


def names_its_option(attribute: AttributeSettings, option: str, phrase: str) -> bool:
    """Whether the phrase shares a word with the name, texts or tags of its option, and not with most other options.

    The middle of a scale may lie where meaningless texts lie: to a model that separates men from women, "non-binary"
    may mean neither. Such a phrase is no spelling mistake if it names its option.
    """
    settings = attribute.options[option]
    others = [_words(*s.image) for name, s in attribute.options.items() if name != option]
    count = Counter(word for words in others for word in words)
    common = {word for word, n in count.items() if n >= len(others) / 2}
    return bool((_words(phrase) & _words(option, *settings.text, *settings.tags)) - common)


def _encode(encoder: TextEncoder, phrases: Sequence[str], templates: Sequence[str]) -> NDArray[np.float32]:
    """Vectors (n_phrases, n_templates, dim) of each phrase in each template."""
    texts = [template.format(phrase) for phrase in phrases for template in templates]
    return encoder.encode_texts(texts).reshape(len(phrases), len(templates), -1)


def _random_phrase(rng: np.random.Generator) -> str:
    """One to four words of two to eight consonants."""
    words = [rng.choice(_LETTERS, rng.integers(2, 9)) for _ in range(rng.integers(1, 5))]
    return " ".join("".join(word) for word in words)


def _distances(space: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance from the centre of the random phrases (the first rows), in SDs beyond their own mean distance."""
    centre = space[:N_RANDOM].mean(axis=0)
    away = np.linalg.norm(space - centre, axis=1)
    own = away[:N_RANDOM] * N_RANDOM / (N_RANDOM - 1)  # the distance of each from the centre of the others
    return (away[N_RANDOM:] - own.mean()) / max(float(own.std()), 1e-12)


def _words(*texts: str) -> set[str]:
    return {word.casefold() for text in texts for word in _WORD.findall(text)}
