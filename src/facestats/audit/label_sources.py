"""Name the sources of labels (merged, picture, text, probe, classifiers) and the columns of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MERGED, IMAGE, TEXT, PROBE = "merged", "image", "text", "probe"
VECTOR = "vector"  # labels from the CLIP vectors of texts; notebook 09 joins them to master, no stored table holds them
_PATTERNS = {MERGED: "{}", IMAGE: "image_{}", TEXT: "text_{}"}


def label_sources(columns: Collection[str], attributes: Iterable[str]) -> dict[str, str]:
    """Map each source of labels to the pattern of its columns: merged, image, text, probe, and every classifier.

    A source with prefix `p` labels attribute `a` in the columns `p_a`, `p_a_score` and `p_a_probs`.
    """
    # longest name first: a column that ends in hair_color belongs to that attribute, not to an attribute color
    longest = sorted(attributes, key=len, reverse=True)
    prefixes = set()
    for column in columns:
        name = next((a for a in longest if column == a or column.endswith(f"_{a}")), None)
        if name in (None, column) or not {f"{column}_score", f"{column}_probs"} <= set(columns):
            continue
        prefixes.add(column.removesuffix(f"_{name}"))
    known = [pattern.format("") for pattern in _PATTERNS.values()]
    return _PATTERNS | {p: f"{p}_{{}}" for p in sorted(prefixes) if f"{p}_" not in known}


def probs_column(columns: Collection[str], name: str) -> tuple[str, str]:
    """Return the source and the column of an attribute's probabilities: its probe if there is one, else the prompts."""
    probe = f"{PROBE}_{name}_probs"
    return (PROBE, probe) if probe in columns else (IMAGE, f"{name}_probs")
