"""Whether a model makes anything of a phrase: phrases beside random letters."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facestats.core.config import AttributeSettings

CONTROLS, MAX_PICTURES, NEAR = 99, 2000, 1.5  # random phrases; pictures looked at; SDs that still are nothing
_LETTERS = list("bcdfghjklmnpqrstvwxz")  # without vowels hardly any word comes about
_WORD = re.compile(r"[^\W\d_]+")


class TextEncoder(Protocol):
    """What turns texts into unit vectors."""

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts into (n, dim)."""
        ...


def measure_meaning(
    encoder: TextEncoder, attribute: AttributeSettings, vectors: NDArray[np.float32], *, seed: int = 0
) -> dict[tuple[str, str], float]:
    """Say of each phrase how much further it lies from meaningless texts than these lie from each other.

    Parameters
    ----------
    encoder, attribute
        Whose prompts: templates times phrases.
    vectors
        Of pictures, (n, dim), in the view of the attribute: what counts is also whether they tell the difference.
    seed
        Fixes the 99 phrases of random consonants.

    Returns
    -------
    By option and phrase the distance from the centre of the random phrases, less their own mean distance, in SDs of
    that: the larger of the one among texts and the one among similarities to the pictures.
    """
    rng = np.random.default_rng(seed)
    random = [_random_phrase(rng) for _ in range(CONTROLS)]
    phrases = [(option, p) for option, settings in attribute.options.items() for p in settings.image]
    # in a call of their own the encoder remembers the random ones, which attributes of equal templates share
    each = np.concatenate(
        [_encode(encoder, of, attribute.image_templates) for of in (random, [p for _, p in phrases])]
    )
    mean = each.mean(axis=1, dtype=np.float64)
    unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    seen = vectors[:: max(1, -(-len(vectors) // MAX_PICTURES))]
    spaces = [unit] if not len(seen) else [unit, unit @ seen.T.astype(np.float64)]
    found = np.max([_distances(space) for space in spaces], axis=0)
    return dict(zip(phrases, found.tolist(), strict=True))


def _encode(encoder: TextEncoder, phrases: Sequence[str], templates: Sequence[str]) -> NDArray[np.float32]:
    """Vectors (n_phrases, n_templates, dim) of each phrase in each template."""
    texts = [template.format(phrase) for phrase in phrases for template in templates]
    return encoder.encode_texts(texts).reshape(len(phrases), len(templates), -1)


def _random_phrase(rng: np.random.Generator) -> str:
    words = [rng.choice(_LETTERS, rng.integers(2, 9)) for _ in range(rng.integers(1, 5))]
    return " ".join("".join(word) for word in words)


def _distances(space: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of the rows after the controls from their centre, in SDs beyond the mean of the controls' own."""
    centre = space[:CONTROLS].mean(axis=0)
    away = np.linalg.norm(space - centre, axis=1)
    own = away[:CONTROLS] * CONTROLS / (CONTROLS - 1)  # each from the centre of the others
    return (away[CONTROLS:] - own.mean()) / max(float(own.std()), 1e-12)


def spoken_of(attribute: AttributeSettings, option: str, phrase: str) -> bool:
    """Whether a word of the phrase is of the name, a text or a tag of its option, and not of most other options.

    The middle of a scale lies where meaningless texts lie, and rightly so: to a model that tells men from women,
    "non-binary" may mean neither. Such a phrase is no slip of the pen if its option is called so.
    """
    settings = attribute.options[option]
    others = [_words(*s.image) for name, s in attribute.options.items() if name != option]
    count = Counter(word for words in others for word in words)
    common = {word for word, n in count.items() if n >= len(others) / 2}
    return bool((_words(phrase) & _words(option, *settings.text, *settings.tags)) - common)


def _words(*texts: str) -> set[str]:
    return {word.casefold() for text in texts for word in _WORD.findall(text)}
