"""Names and texts of strangers, written so that what shows them takes them for text: one function for each place.

Names of files may hold line breaks, commands of a terminal, marks that turn the direction of writing, formulas and tags.
`matplotlib` is handled in ``plots/style.py``, because there the text stays as it is.
"""

from __future__ import annotations

import html
import re
import unicodedata

# marks that show nothing and turn or hide what stands beside them: they could make one name look like another
_MARKS = frozenset("\u061c\u180e\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\ufeff")
_ISOLATES = frozenset("\u2066\u2067\u2068\u2069")
# a program of tables takes a cell that begins like this for a formula (OWASP, CSV injection)
_SIGNS = r"[=+\-@\t\r\n＝＋－＠]"  # noqa: RUF001 - full-width signs count too
FORMULA = (
    rf"^'*{_SIGNS}"  # apostrophes before it, so that reading back removes exactly the one that was added
)
_DEFUSED = re.compile(rf"'+{_SIGNS}")


def visible(text: object, *, one_line: bool = False) -> str:
    r"""Write what a terminal or a log would obey as an escape: control characters, and marks of direction.

    Parameters
    ----------
    text
        Any text; other values are written as Python writes them.
    one_line
        Whether line breaks and tabs are written as escapes too, as within a line of a list.

    Returns
    -------
    The text; ``\x1b[2J`` and ``\u202e`` stand for what would clear the screen or turn the line.
    """
    kept = "" if one_line else "\n\t"
    return "".join(c if c in kept or not _is_hidden(c) else _escape(c) for c in str(text))


def for_html(text: object) -> str:
    """Write a text for HTML, also within an attribute in quotes: no tag of it is one, and no mark turns the page."""
    return html.escape(visible(text))


def for_markdown(text: object) -> str:
    """Write a text for a line or a table cell of Markdown: no tag, no code, no link, and no picture from elsewhere."""
    one_line = visible(text, one_line=True).replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`")
    return one_line.replace("&", "&amp;").replace("<", "&lt;").replace("](", "]\\(").replace("![", "!\\[")


def for_cell(text: str) -> str:
    """Write a text for a cell of a CSV: what begins like a formula gets an apostrophe in front."""
    return f"'{text}" if re.match(FORMULA, text) else text


def from_cell(text: str) -> str:
    """Read a text that :func:`for_cell` wrote."""
    return text[1:] if _DEFUSED.match(text) else text


def _is_hidden(character: str) -> bool:
    """Whether a character is a command, a mark, or half of a character that UTF-8 cannot hold."""
    return unicodedata.category(character) in {"Cc", "Cs"} or character in _MARKS or character in _ISOLATES


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
