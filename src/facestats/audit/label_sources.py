"""Who says what a picture shows: the columns of each source of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MERGED, IMAGE, TEXT, PROBE = "merged", "image", "text", "probe"
VECTOR = "vector"  # what the CLIP vector of a text says; it stands beside master, never in it
_USUAL = {MERGED: "{}", IMAGE: "image_{}", TEXT: "text_{}"}


def label_sources(columns: Collection[str], attributes: Iterable[str]) -> dict[str, str]:
    """Name each source of labels and the pattern of its columns: merged, image, text, probe, every classifier.

    Whatever labels an attribute `a` with a prefix `p` has the columns `p_a`, `p_a_score` and `p_a_probs`.
    """
    longest = sorted(
        attributes, key=len, reverse=True
    )  # hair_color ends in color, and is not its prefix hair
    more = []
    for column in columns:
        name = next((a for a in longest if column == a or column.endswith(f"_{a}")), None)
        if name in (None, column) or not {f"{column}_score", f"{column}_probs"} <= set(columns):
            continue
        more.append(column.removesuffix(f"_{name}"))
    usual = [pattern.format("") for pattern in _USUAL.values()]
    found = {prefix: f"{prefix}_{{}}" for prefix in sorted(set(more)) if f"{prefix}_" not in usual}
    return _USUAL | found


def probs_column(columns: Collection[str], name: str) -> tuple[str, str]:
    """Name the source whose probabilities stand for an attribute, and their column: its probe where there is one."""
    probe = f"{PROBE}_{name}_probs"
    return (PROBE, probe) if probe in columns else (IMAGE, f"{name}_probs")
