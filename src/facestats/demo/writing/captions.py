"""Write captions about drawn characters by a grammar, which records what each caption says and what it does not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facestats.demo.writing import words
from facestats.demo.writing.people import ATTRIBUTES, HAIR
from facestats.demo.writing.phrasing import (
    Pen,
    describe_other,
    describe_person,
    name_thing,
    write_clause,
    write_denial,
    write_hair_clause,
)
from facestats.demo.writing.tags import write_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

_SPELLINGS = (("gray", "grey"), ("color", "colour"), ("armor", "armour"), ("jewelry", "jewellery"))


@dataclass(frozen=True)
class Caption:
    """A text, and what it says about the character.

    Attributes
    ----------
    text
        The caption.
    said
        Attribute to option; None if the text does not say it.
    denied
        Pairs (attribute, option) that the text denies.
    kind
        `sentence` or `tags`.
    tricky
        Whether the text has negations, other people, or attribute words that describe things.
    """

    text: str
    said: dict[str, Any]
    denied: tuple[tuple[str, str], ...]
    kind: str
    tricky: bool


def write_caption(
    record: Mapping[str, Any],
    rng: np.random.Generator,
    *,
    kind: str | None = None,
    split: str = "train",
) -> Caption:
    """Write one caption that mentions some, all or none of a character's attributes.

    Parameters
    ----------
    record
        Attribute to option; None if it cannot be seen.
    rng
        Source of chance: the same state writes the same caption.
    kind
        `sentence` or `tags`; None chooses one at random.
    split
        `train` or `eval`: each has words and sentence frames that the other never uses.

    Returns
    -------
    Caption
        The text, and what it says.

    Raises
    ------
    ValueError
        If `kind` or `split` is unknown.
    """
    if kind not in {None, "sentence", "tags"}:
        msg = f"kind must be 'sentence' or 'tags', or None for either; got {kind!r}."
        raise ValueError(msg)
    if split not in {"train", "eval"}:
        msg = f"split must be 'train' or 'eval'; got {split!r}."
        raise ValueError(msg)
    kind = kind or ("sentence" if rng.random() < 0.5 else "tags")
    said = _choose_said(record, rng)
    pen = Pen(record, rng, split=split, gender=said["gender"])
    facts = {name: option for name, option in said.items() if option is not None}
    n_tricks = 1 + int(rng.random() * 3) if pen.chance(0.5) else 0
    write = _write_sentences if kind == "sentence" else write_tags
    text = _spell(pen, write(pen, facts, n_tricks))
    # A planned contrast ("black, not blonde") is not written if no clause can hold it, so it does not count.
    return Caption(text, said, tuple(pen.denied), kind, n_tricks > pen.contrasts)


def _choose_said(record: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Choose at random how many attributes are mentioned, then which."""
    seen = [name for name in ATTRIBUTES if record[name] is not None]
    # A caption never says "curvy" of a minor.
    if record["age"] in {"child", "teen"} and record["body_type"] == "curvy":
        seen.remove("body_type")
    chosen = {seen[i] for i in rng.permutation(len(seen))[: int(rng.random() * (len(seen) + 1))]}
    return {name: record[name] if name in chosen else None for name in ATTRIBUTES}


def _spell(pen: Pen, text: str) -> str:
    """Correct articles; write a share of the captions in British spelling, lower case or with contractions."""
    text = re.sub(r"\b(a) (?=[aeio]|u[^n]|8|11|18)(?!euro|one)", r"\1n ", text, flags=re.IGNORECASE)
    for american, british in _SPELLINGS if pen.chance(0.4) else ():
        text = text.replace(american, british)
    if pen.chance(0.3):
        text = text.replace("blonde", "blond")
    if pen.chance(0.3):
        text = re.sub(r"\b(is|are|does|do) not\b", r"\1n't", text)
    return text.lower() if pen.chance(0.15) else text


def _add_tricks(pen: Pen, facts: Mapping[str, str], *, n_tricks: int) -> tuple[list[str], list[str]]:
    """Return fragments for the noun phrase, and clauses; none of them says an attribute of the person."""
    fragments: list[str] = []
    clauses: list[str] = []
    open_names = [name for name in ATTRIBUTES if name not in facts and pen.record[name]]
    for way in pen.rng.permutation(8)[:n_tricks]:
        if way == 0 and open_names:
            text = write_denial(pen, open_names[int(pen.rng.random() * len(open_names))])
            is_clause = text.startswith(("this ", pen.fill("{S} "), pen.fill("{P} ")))
            (clauses if is_clause else fragments).append(text)
        elif way == 1 and set(facts) & {*words.PLAIN, "hair_color"}:
            pen.contrasts += 1
        elif way == 2:
            fragments.append(pen.pick(words.BARE))
        elif way == 3:
            clauses.append(pen.fill(pen.pick(words.BARE_CLAUSES)))
        elif way == 4:
            fragments.append(pen.pick(words.THING_FRAMES).format(t=name_thing(pen)))
        elif way == 5:
            clauses.append(pen.fill(pen.pick(words.THING_CLAUSES), t=name_thing(pen)))
        elif way == 6 and pen.record["hair_length"] != "bald":
            fragments.append(pen.fill(pen.pick(words.WORN), c=pen.pick(words.COLORS)))
        else:
            clauses.append(pen.fill(pen.pick(words.OTHERS), n=describe_other(pen)))
    return fragments, clauses


def _write_sentences(pen: Pen, facts: Mapping[str, str], n_tricks: int) -> str:
    """Write an opening that names the person, then clauses; each said attribute is in one of them."""
    fragments, clauses = _add_tricks(pen, facts, n_tricks=n_tricks)
    head_share = pen.rng.random()
    hair = {name: facts[name] for name in HAIR if name in facts}
    in_head = {name for name in facts if name not in {"gender", *HAIR} and pen.chance(head_share)}
    if pen.contrasts:
        in_head -= set(words.PLAIN)
    head_hair = {} if pen.contrasts else {name: hair[name] for name in hair if pen.chance(head_share)}
    rest_hair = {name: hair[name] for name in hair if name not in head_hair}
    said = [write_clause(pen, name, facts[name]) for name in facts if name not in {*in_head, "gender", *HAIR}]
    said += [write_hair_clause(pen, rest_hair)] if rest_hair else []
    # Gender is said by the noun, by pronouns alone ("A person ... Her eyes ...") or by a clause.
    way = pen.rng.random() if "gender" in facts else 1.0
    by_pronoun = way < 0.3 and said and facts["gender"] != "non-binary"
    if 0.3 <= way < 0.4:
        said.append(write_clause(pen, "gender", facts["gender"]))
    elif way < 1.0 and not by_pronoun:
        in_head.add("gender")
    if pen.chance(0.25):
        said.append(pen.fill(pen.pick(words.FRAMES["filler"]), name=_invent_name(pen)))
    clauses += said
    pen.rng.shuffle(clauses)
    person = describe_person(pen, {name: facts[name] for name in in_head} | head_hair)
    person = ", ".join([person, *fragments])
    person += "," if ", " in person else ""
    opening = (
        pen.pick(words.FRAMES["opening"])
        .rstrip(".")
        .format(
            n=person, N=person, place=pen.pick(words.FRAMES["place"]), doing=pen.pick(words.FRAMES["doing"])
        )
    )
    return _join(pen, [opening.replace(",,", ",").rstrip(","), *clauses])


def _join(pen: Pen, clauses: list[str]) -> str:
    """Join clauses to sentences."""
    text = clauses[0]
    for clause in clauses[1:]:
        text += (pen.pick(words.FRAMES["join"]).replace("_", " ") if pen.chance(0.4) else ". ") + clause
    text = re.sub(r"(^|\. )([a-z])", lambda found: found[1] + found[2].upper(), text)
    return text if pen.chance(0.15) else text + "."


def _invent_name(pen: Pen) -> str:
    """Invent a name without meaning, so that a model learns that unknown words say nothing."""
    syllables = (
        "ka",
        "ro",
        "lin",
        "mor",
        "est",
        "vi",
        "dan",
        "shu",
        "bel",
        "tor",
        "ay",
        "gri",
        "nox",
        "fe",
        "um",
    )
    drawn = [syllables[int(pen.rng.random() * len(syllables))] for _ in range(2 + int(pen.rng.random() * 2))]
    return "".join(drawn).capitalize()
