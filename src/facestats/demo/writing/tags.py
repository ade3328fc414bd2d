"""Write tag lists about a character, such as "1girl, long black hair, eye color: blue, green scarf"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from facestats.demo.writing import words
from facestats.demo.writing.people import ATTRIBUTES, HAIR
from facestats.demo.writing.phrasing import Pen, describe_other, write_hair

if TYPE_CHECKING:
    from collections.abc import Mapping

TAGS = {
    "gender": {
        "male": "man | male | 1boy // guy // male person",
        "female": "woman | female | 1girl // lady // female person",
        "non-binary": "non-binary | androgynous // nonbinary | genderqueer // non-binary person",
    },
    "age": {
        "child": "child | kid // little kid // small child",
        "teen": "teenager | teen // teenage | adolescent // teenage person",
        "young adult": "young adult | young // twenty-something // young person",
        "middle-aged": "middle-aged // middle age | forties // middle-aged person",
        "elderly": "elderly | old // senior | aged // elderly person",
    },
}
TAG_FRAMES = {
    "ethnicity": "{x} // {x} descent | {x} person // {x} origin",
    "hair_style": "{x} hair // {x} hairstyle // hair {x}",
    "hair_color": "{x} hair // hair color {x} // {x} colored hair",
    "hair_length": "{x} hair // hair length {x} // {x} haircut",
    "eye_color": "{x} eyes // eye color {x} // eyes {x}",
    "body_type": "{x} build // {x} body // {x} figure",
}
TAG_KEYS = {
    "age": "age",
    "gender": "gender // sex",
    "ethnicity": "ethnicity",
    "hair_style": "hair style | hair // hairstyle // hair",
    "hair_color": "hair color | hair // color of hair // hair",
    "hair_length": "hair length | hair // length of hair // hair",
    "eye_color": "eye color | eyes // color of eyes // eyes",
    "body_type": "body type | build // figure // body",
    "dress": "dress | clothes // outfit | clothing // wears",
}
TAG_FILLERS = (
    "portrait | solo | upper body | smile | best quality // looking at viewer | photo | soft light | detailed | facing front"
    " | 512x512 | masterpiece // half body | high quality | simple background"
)
TAG_THINGS = (
    "{c} background | {c} scarf | {c} {t} // {c} wall | {c} earrings | {c} hat | {o} // {c} gloves | {c} bag"
)
TAG_OTHERS = "{n} in the background | {n} behind // other person: {n} | beside {n} // {n} on the left"
TAG_SEPARATORS = ",_ | ,_ | ,_ // ;_ | , // _/_ | ;_"


def write_tags(pen: Pen, facts: Mapping[str, str], n_tricks: int) -> str:
    """Write a tag list: a tag per said attribute (sometimes one for all hair), fillers, and tags about other things."""
    keyed = pen.chance(0.2)
    hair = {name: facts[name] for name in HAIR if name in facts}
    joint = not keyed and len(hair) > 1 and pen.chance(0.35)
    tags = [_tag(pen, name, facts[name], keyed=keyed) for name in facts if not (joint and name in hair)]
    tags += [_strip(write_hair(pen, hair))] if joint else []
    tags += [pen.pick(TAG_FILLERS) for _ in range(int(pen.rng.random() * 3))]
    open_names = [name for name in ATTRIBUTES if name not in facts and pen.record[name]]
    for way in pen.rng.random(n_tricks):
        if way < 0.2 and open_names:
            name = open_names[int(pen.rng.random() * len(open_names))]
            text = _tag(pen, name, pen.wrong(name), keyed=False)
            noun = name not in {"age", "gender", "ethnicity", "body_type"} and pen.denied[-1][1] != "bald"
            tags.append(f"{pen.pick('no | not // without') if noun else 'not'} {text}")
        elif way < 0.4:
            tags.append(pen.pick(words.BARE))
        elif way < 0.75:
            frame = pen.pick(TAG_THINGS)
            thing, odd = pen.pick(words.THINGS), pen.pick(words.ODD_THINGS)
            tags.append(frame.format(c=pen.pick(words.COLORS), t=thing, o=_strip(odd)))
        else:
            tags.append(pen.pick(TAG_OTHERS).format(n=_strip(describe_other(pen, glue=" "))))
    tags = [tags[i] for i in pen.rng.permutation(len(tags))] or [pen.pick(TAG_FILLERS)]
    text = pen.pick(TAG_SEPARATORS).replace("_", " ").join(tags)
    if not keyed and pen.chance(0.12):
        text = re.sub(r"(\w) (?=\w)", r"\1_", text)
    return text.lower() if pen.chance(0.7) else text


def _tag(pen: Pen, name: str, option: str, *, keyed: bool) -> str:
    """Write a tag that says one attribute, such as "blue eyes" or "eye color: blue"."""
    if name in TAGS:
        text = pen.pick(TAGS[name][option])
        text = option if pen.minor and text in {"man", "woman", "lady", "guy"} else text
    elif name == "hair_style" and option in words.STYLE_NOUNS and pen.chance(0.5):
        text = pen.pick(words.STYLE_NOUNS[option])
    else:
        text = pen.phrase(name, option)
    text = _strip(text)
    if keyed:
        return f"{pen.pick(TAG_KEYS[name])}: {text}"
    if name == "ethnicity" and text in {"white", "Black"}:
        return f"{text} person"
    said_alone = (
        name not in TAG_FRAMES
        or option == "bald"
        or text in map(_strip, words.parse_phrases(words.STYLE_NOUNS.get(option, ""))[pen.split])
        or (name in {"ethnicity", "body_type"} and option != "average" and pen.chance(0.5))
    )
    return text if said_alone else pen.pick(TAG_FRAMES[name]).format(x=text)


def _strip(text: str) -> str:
    """Return a noun phrase without its article."""
    return re.sub(r"^(a|an) ", "", text)
