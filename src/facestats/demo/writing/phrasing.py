"""Write phrases about one attribute, one person or one thing: the layer between the lexicon and the captions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facestats.demo.writing import words
from facestats.demo.writing.people import ATTRIBUTES, HAIR, draw_record, list_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

PRONOUNS = {
    "male": {"s": "he", "p": "his", "o": "him"},
    "female": {"s": "she", "p": "her", "o": "her"},
    "they": {"s": "they", "p": "their", "o": "them"},
    "person": {"s": "the person", "p": "their", "o": "them"},
}
_VERBS = {"is": "are", "has": "have", "wears": "wear", "does": "do", "looks": "look", "smiles": "smile"}
_VERBS |= {"identifies": "identify", "seems": "seem"}


class Pen:
    """Draw words about one person at random from one split of the lexicon.

    Parameters
    ----------
    record
        The person's attributes, so that only what is false is denied.
    rng
        Source of chance.
    split
        `train` or `eval`.
    gender
        The gender that the text says, which decides the pronouns; None for "they" or "the person".
    """

    def __init__(
        self, record: Mapping[str, Any], rng: np.random.Generator, *, split: str, gender: str | None
    ) -> None:
        self.record, self.rng, self.split, self.gender = record, rng, split, gender
        self.minor = record["age"] in {"child", "teen"}
        self.denied: list[tuple[str, str]] = []
        self.contrasts = 0
        neutral = "they" if gender == "non-binary" or self.chance(0.5) else "person"
        self._set_pronouns(gender if gender in PRONOUNS else neutral)

    def _set_pronouns(self, person: str) -> None:
        forms = PRONOUNS[person]
        plural = person == "they"
        self._forms = forms | {verb: many if plural else verb for verb, many in _VERBS.items()}
        owner = "the person's" if person == "person" else forms["p"]
        self._forms |= {"S": forms["s"], "P": owner}

    def chance(self, share: float) -> bool:
        """Return True with this probability."""
        return self.rng.random() < share

    def pick(self, entry: str) -> str:
        """Draw one phrase of a lexicon entry."""
        phrases = words.parse_phrases(entry)[self.split]
        return phrases[int(self.rng.random() * len(phrases))]

    def fill(self, frame: str, **parts: str) -> str:
        """Insert pronouns, verbs and `parts` into a frame."""
        return frame.format_map(self._forms | parts)

    def dress(self, option: str) -> str:
        """Draw a garment, sometimes with a colour."""
        color = f"{self.pick(words.COLORS)} " if self.chance(0.3) else ""
        return self.pick(words.DRESS[option]).format(c=color)

    def phrase(self, name: str, option: str) -> str:
        """Draw the words for one option that follow "is", "has" or "wears"."""
        if name == "age":
            return self.fill(self.pick(words.AGE_PREDICATES[option]))
        if name == "gender":
            text = self.pick(words.PREDICATED_GENDER[option])
            return option if self.minor and text.endswith("man") else text
        if name == "dress":
            return self.dress(option)
        if option == "bald":
            return self.pick(words.BALD["adjective"])
        return self.pick(words.ADJECTIVES[name].get(option) or words.STYLE_NOUNS[option])

    def wrong(self, name: str) -> str:
        """Draw an option that this person does not have, and record that the text denies it."""
        unfair = {self.record[name], "curvy" if self.minor else None}
        others = [option for option in list_options()[name] if option not in unfair]
        option = others[int(self.rng.integers(len(others)))]
        self.denied.append((name, option))
        return option


def write_denial(pen: Pen, name: str) -> str:
    """Write a clause, or a fragment without subject, that denies one option."""
    option = pen.wrong(name)
    text = pen.phrase(name, option)
    frame = words.DENIED.get(name, "")
    if option == "bald" or (name == "ethnicity" and text in {"white", "Black"}):
        frame = "{S} {is} not {x}"
    elif name == "hair_style":
        frame = words.DENIED["adjective_style" if option in words.ADJECTIVES["hair_style"] else "noun_style"]
    elif option == "average":
        frame = "{P} build is not {x}"
    return pen.fill(pen.pick(frame), x=text)


def write_clause(pen: Pen, name: str, option: str) -> str:
    """Write a clause that says one attribute, sometimes with a contrast ("black, not blonde")."""
    if option == "bald":
        return pen.fill(pen.pick(words.BALD["clause"]))
    text = pen.phrase(name, option)
    colored = name == "ethnicity" and text.lower() in {"white", "black"}
    if pen.contrasts and name in words.PLAIN:
        pen.contrasts -= 1
        text = pen.pick(words.CONTRAST).format(x=text, y=pen.phrase(name, pen.wrong(name)))
        return pen.fill(words.PLAIN[name], x=text)
    if colored or (name == "body_type" and option != "average" and pen.chance(0.4)):
        return pen.fill("{S} {is} {x}", x=text)
    return pen.fill(pen.pick(words.FRAMES[name]), x=text)


def write_hair(pen: Pen, hair: Mapping[str, str]) -> str:
    """Write hair as a noun phrase: "long black hair in a ponytail", "blonde curls", "a bald head"."""
    style, color, length = (hair.get(name) for name in HAIR)
    if length == "bald":
        return pen.fill(pen.pick(words.BALD["noun"]))
    noun, tails, before = "hair", [], []
    if length and length in words.LENGTH_TAILS and pen.chance(0.25):
        tails.append(pen.fill(pen.pick(words.LENGTH_TAILS[length])))
    elif length:
        before.append(pen.phrase("hair_length", length))
    if style in words.STYLE_NOUNS and not length and pen.chance(0.5):
        noun = pen.pick(words.STYLE_NOUNS[style])
    elif style in words.ADJECTIVES["hair_style"] and (tails or pen.chance(0.7)):
        before.append(pen.phrase("hair_style", style))
    elif style:
        tails.insert(0, pen.pick(words.STYLE_TAILS[style]))
    if color:
        before.append(pen.phrase("hair_color", color))
    if pen.chance(0.2):
        before = [before[i] for i in pen.rng.permutation(len(before))]
    article, _, rest = noun.partition(" ") if noun.startswith("a ") else ("", "", noun)
    return " ".join([*([article] if article else []), *before, rest, *tails])


def write_hair_clause(pen: Pen, hair: Mapping[str, str]) -> str:
    """Write a clause that says one to three attributes of hair."""
    style, color, length = (hair.get(name) for name in HAIR)
    if length == "bald":
        return write_clause(pen, "hair_length", "bald")
    way = pen.rng.random()
    if way < 0.35:
        return pen.fill(pen.pick(words.FRAMES["hair_np"]), x=write_hair(pen, hair))
    if way < 0.7 and (style is None or style in words.ADJECTIVES["hair_style"]):
        names = [name for name in HAIR if hair.get(name)]
        names = [names[i] for i in pen.rng.permutation(len(names))]
        contrast = color is not None and pen.contrasts > 0
        if contrast:
            names.sort(key="hair_color".__eq__)
        *listed, last = [pen.phrase(name, hair[name]) for name in names]
        if contrast:
            pen.contrasts -= 1
            last = pen.pick(words.CONTRAST).format(
                x=last, y=pen.phrase("hair_color", pen.wrong("hair_color"))
            )
        text = " and ".join(filter(None, [", ".join(listed), last]))
        return pen.fill(pen.pick(words.FRAMES["hair_list"]), x=text)
    if not style and not length:
        return pen.fill("{P} hair is {x}", x=pen.phrase("hair_color", str(color)))
    before = [pen.phrase("hair_length", length)] if length and style else []
    before += [pen.phrase("hair_color", color)] if color else []
    verb = pen.pick(words.STYLE_VERBS[style] if style else words.LENGTH_VERBS[str(length)])
    return pen.fill(" ".join(["{P}", *before, "hair", verb]))


def _name_person(pen: Pen, age: str | None, gender: str | None) -> tuple[list[str], str]:
    """Return age words and a noun, such as (["young"], "woman"); what is None is not said."""
    if age is None:
        return [], pen.pick(words.NOUNS["unstated" if pen.minor else "adult"][gender])
    if gender is None and age in words.AGE_NOUNS and pen.chance(0.4):
        return [], pen.pick(words.AGE_NOUNS[age])
    noun = pen.pick(words.NOUNS[age if age in {"child", "teen"} else "adult"][gender])
    if pen.chance(0.15):
        low, high = words.AGE_YEARS[age]
        return [f"{pen.rng.integers(low, high + 1)}-year-old"], noun
    plain = age == "child" and pen.chance(0.5)
    return [] if plain else [pen.pick(words.ADJECTIVES["age"][age])], noun


def describe_person(pen: Pen, facts: Mapping[str, str], *, glue: str | None = None) -> str:
    """Write a noun phrase that says all `facts`: "a slim young Asian woman with long black hair, in a suit"."""
    ages, noun = _name_person(pen, facts.get("age"), facts.get("gender"))
    before, after = _describe_looks(pen, facts)
    before += ages
    if "ethnicity" in facts:
        word = pen.phrase("ethnicity", facts["ethnicity"])
        if word in {"white", "Black"} or pen.chance(0.75):
            before.append(word)
        else:
            after.append(pen.pick(words.FRAMES["descent"]).format(x=word))
    if "dress" in facts:
        after.append(f"{pen.pick(words.FRAMES['wearing'])} {pen.dress(facts['dress'])}")
    if pen.chance(0.2):
        before = [before[i] for i in pen.rng.permutation(len(before))]
    after = [after[i] for i in pen.rng.permutation(len(after))]
    having = [part for part in after if part.startswith("with ")]
    if len(having) > 1 and pen.chance(0.5):
        joined = f"{', '.join([having[0], *[part[5:] for part in having[1:-1]]])} and {having[-1][5:]}"
        after = [joined, *[part for part in after if part not in having]]
    glue = glue or (", " if pen.chance(0.5) else " ")
    return glue.join([" ".join(["a", *before, noun]), *after])


def _describe_looks(pen: Pen, facts: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return words before the noun, and phrases after it, for body, eyes and hair."""
    hair = {name: facts[name] for name in HAIR if name in facts}
    before, after = [], []
    if "body_type" in facts:
        word = pen.phrase("body_type", facts["body_type"])
        if facts["body_type"] != "average" and pen.chance(0.6):
            before.append(word)
        else:
            after.append(pen.pick(words.FRAMES["build"]).format(x=word))
    if "eye_color" in facts:
        word = pen.phrase("eye_color", facts["eye_color"])
        if pen.chance(0.2):
            before.append(f"{word}-eyed")
        else:
            after.append(f"with {word} eyes")
    if (
        hair.keys() in ({"hair_color"}, {"hair_length"})
        and hair.get("hair_color") != "colorful"
        and pen.chance(0.3)
    ):
        ((name, option),) = hair.items()
        word = pen.phrase(name, option)
        before.append(word if option in {"bald", "blonde"} else f"{word}-haired")
    elif hair:
        after.append(f"with {write_hair(pen, hair)}")
    return before, after


def name_thing(pen: Pen) -> str:
    """Name a thing that has an attribute word, such as "a green scarf"."""
    if pen.chance(0.35):
        return pen.pick(words.ODD_THINGS)
    return f"a {pen.pick(words.COLORS)} {pen.pick(words.THINGS)}"


def describe_other(pen: Pen, *, glue: str | None = None) -> str:
    """Describe another person, with other attributes, and of a gender to which no pronoun of the caption can refer."""
    record = draw_record(pen.rng)
    record["gender"] = {"male": "female", "female": "male"}.get(
        str(pen.gender), "male" if pen.chance(0.5) else "female"
    )
    other = Pen(record, pen.rng, split=pen.split, gender=record["gender"])
    said = [name for name in ATTRIBUTES if record[name] and name != "gender" and pen.chance(0.3)]
    if other.minor and record["body_type"] == "curvy":
        said = [name for name in said if name != "body_type"]
    return describe_person(other, {name: record[name] for name in ("gender", *said)}, glue=glue)
