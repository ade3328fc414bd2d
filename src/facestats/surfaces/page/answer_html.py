"""An answer as HTML for the web page: one card per attribute; all text from outside is escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facestats.core.shown_text import for_html

if TYPE_CHECKING:
    from facestats.surfaces.pipeline.answers import CharacterResult, Label

_SOURCES = {
    "probe": "from the picture, learned from labels by people",
    "image": "from the picture",
    "text": "from the text",
    "agreement": "picture and text agree",
}


def draw_answer(result: CharacterResult) -> str:
    """Show warning and error, the attributes on which picture and text disagree, a card per attribute, and the models."""
    labels, titles = result.attributes.labels, result.attributes.titles
    lines = [draw_warning(result.warning)] if result.warning else []
    lines += [draw_error(result.error)] if result.error else []
    conflicts = [name_attribute(titles[name]) for name, label in labels.items() if label.conflict]
    if conflicts:
        lines.append(
            f'<p class="fs-disagree">Picture and text disagree: {for_html(", ".join(conflicts))}.</p>'
        )
    if any(label.source and not label.value for label in labels.values()):
        lines.append("<p>A label whose score is below the threshold is unknown.</p>")
    elif not result.error and not any(label.value for label in labels.values()):
        lines.append("<p>The text says nothing about any of the attributes.</p>")
    if any(label.value for label in labels.values()):
        cards = "".join(_card(name_attribute(titles[name]), label) for name, label in labels.items())
        lines.append(f'<div class="fs-cards">{cards}</div>')
    if result.model:
        names = ", ".join(f"{kind}: {name}" for kind, name in result.model.items())
        lines.append(f'<p class="fs-models">Answered by {for_html(names)}</p>')
    return "".join(lines)


def draw_warning(text: str) -> str:
    """Show a warning as a banner."""
    return f'<p class="fs-warning">{for_html(text)}</p>'


def draw_error(text: str) -> str:
    """Show an error as a sentence."""
    end = "" if text.endswith((".", ")")) else "."
    return f'<p class="fs-error">{for_html(text[:1].upper() + text[1:] + end)}</p>'


def name_attribute(title: str) -> str:
    """Turn the title of an attribute in JSON (``Hair_Color``) into words (``Hair color``)."""
    return title.replace("_", " ").capitalize()


def _card(name: str, label: Label) -> str:
    note = ""
    if label.conflict:
        seen = label.value if label.source == "probe" else label.image
        image, text = for_html(seen or "nothing"), for_html(label.text or "nothing")
        note = f'<p class="fs-disagree">the picture says <b>{image}</b>, the text <b>{text}</b></p>'
    # without a label no option is likely, and bars would suggest that one is
    ranked = sorted(label.probs.items(), key=lambda pair: -pair[1]) if label.value else []
    bars = "".join(
        f'<span>{for_html(option)}</span><div><i style="width:{share:.1%}"></i></div><span>{share:.0%}</span>'
        for option, share in ranked
    )
    source = "" if label.conflict else _SOURCES.get(label.source or "", "")
    return (
        f'<section class="{"fs-conflict" if label.conflict else ""}"><h4>{for_html(name)}</h4>'
        f"<p><b>{for_html(label.value or 'unknown')}</b> <small>{source}</small></p>{note}"
        f'<div class="fs-bars">{bars}</div></section>'
    )
