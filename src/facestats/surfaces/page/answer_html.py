"""An answer as HTML for the page: a card per attribute; whatever came from outside is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facestats.surfaces.pipeline.answers import CharacterResult, Label

_SOURCES = {
    "probe": "from the picture, as people labelled others",
    "image": "from the picture",
    "text": "from the text",
    "agreement": "picture and text agree",
}


def draw_answer(result: CharacterResult) -> str:
    """Say what is wrong, where picture and text disagree, and draw a card per attribute."""
    labels, titles = result.attributes.labels, result.attributes.titles
    lines = [draw_error(result.error)] if result.error else []
    torn = [name_attribute(titles[name]) for name, label in labels.items() if label.conflict]
    if torn:
        lines.append(f'<p class="fs-torn">Picture and text disagree: {escape(", ".join(torn))}.</p>')
    if not result.error and not any(label.value for label in labels.values()):
        lines.append("<p>The text says nothing about any of the attributes.</p>")
    elif any(label.value for label in labels.values()):
        cards = "".join(_card(name_attribute(titles[name]), label) for name, label in labels.items())
        lines.append(f'<div class="fs-cards">{cards}</div>')
    return "".join(lines)


def draw_error(text: str) -> str:
    """Say what is wrong, as a sentence."""
    end = "" if text.endswith((".", ")")) else "."
    return f'<p class="fs-error">{escape(text[:1].upper() + text[1:] + end)}</p>'


def name_attribute(title: str) -> str:
    """Turn the title of an attribute in JSON (``Hair_Color``) into words."""
    return title.replace("_", " ").capitalize()


def _card(name: str, label: Label) -> str:
    torn = ""
    if label.conflict:
        seen = label.value if label.source == "probe" else label.image
        image, text = escape(seen or "nothing"), escape(label.text or "nothing")
        torn = f'<p class="fs-torn">the picture says <b>{image}</b>, the text <b>{text}</b></p>'
    # of options of which none is likely, the least unlikely is no finding
    ranked = sorted(label.probs.items(), key=lambda pair: -pair[1]) if label.value else []
    bars = "".join(
        f'<span>{escape(option)}</span><div><i style="width:{share:.1%}"></i></div><span>{share:.0%}</span>'
        for option, share in ranked
    )
    source = "" if label.conflict else _SOURCES.get(label.source or "", "")
    return (
        f'<section class="{"fs-conflict" if label.conflict else ""}"><h4>{escape(name)}</h4>'
        f"<p><b>{escape(label.value or 'unknown')}</b> <small>{source}</small></p>{torn}"
        f'<div class="fs-bars">{bars}</div></section>'
    )
