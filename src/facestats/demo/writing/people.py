"""The attributes and options that captions can mention, and random records of them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from facestats.demo.writing import words

if TYPE_CHECKING:
    import numpy as np


@cache
def list_options() -> dict[str, tuple[str, ...]]:
    """List the attributes and options of the grammar, in the order of `config/attributes.yaml`."""
    hair = {"hair_style": tuple(words.STYLE_VERBS), "hair_color": tuple(words.ADJECTIVES["hair_color"])}
    hair["hair_length"] = ("bald", *words.ADJECTIVES["hair_length"])
    face = {name: tuple(words.ADJECTIVES[name]) for name in ("eye_color", "body_type")}
    person = {"age": tuple(words.AGE_PREDICATES), "gender": tuple(words.PREDICATED_GENDER)}
    return (
        person
        | {"ethnicity": tuple(words.ADJECTIVES["ethnicity"])}
        | hair
        | face
        | {"dress": tuple(words.DRESS)}
    )


ATTRIBUTES = tuple(list_options())
HAIR = ("hair_style", "hair_color", "hair_length")


def draw_record(rng: np.random.Generator, *, split: str | None = None) -> dict[str, Any]:
    """Draw a character's nine attributes, each option equally likely; bald characters have no hair style or colour.

    Parameters
    ----------
    rng
        Source of chance.
    split
        `eval` draws from one fifth of the combinations, `train` from the other four, None from all.

    Returns
    -------
    dict
        Attribute to option; None if it cannot be seen.
    """
    options = list_options()
    while True:
        places = {name: int(rng.random() * len(found)) for name, found in options.items()}
        # A sum modulo five holds out combinations, while every option and every pair of options is in both splits.
        if split is None or (sum(places.values()) % 5 == 0) == (split == "eval"):
            break
    record: dict[str, Any] = {name: options[name][place] for name, place in places.items()}
    if record["hair_length"] == "bald":
        record |= {"hair_style": None, "hair_color": None}
    return record
