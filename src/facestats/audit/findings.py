"""From the tables of an audit to sentences, the most alarming first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from facestats.audit.label_sources import VECTOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEVELS = pl.Enum(["alarm", "warning"])
CLEAR = 0.05  # adjusted p-value below which a difference between groups counts
LARGE_GAP = 0.05  # difference in accuracy from which on it is an alarm
MISCALIBRATED = 0.05  # calibration error beyond that of sound probabilities
FEW_FLIPS, MANY_FLIPS = 0.05, 0.1
MIN_LABELS = 100  # labels from which on an option that hardly occurs is worth a word
_WHOSE = {"merged": "Labels", "image": "Labels by prompts", "text": "Labels of texts"}


class Finding(NamedTuple):
    """One sentence: how bad, about which attribute, what kind, how large (0 to 1)."""

    level: str
    kind: str
    attribute: str
    size: float
    finding: str


def findings(
    *,
    audit: pl.DataFrame | None = None,
    options: pl.DataFrame | None = None,
    calibration: pl.DataFrame | None = None,
    prompts: pl.DataFrame | None = None,
    crosstalk: pl.DataFrame | None = None,
    texts: pl.DataFrame | None = None,
    stability: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Say what the audit found that is alarming: the worst of each kind, then the second worst of each, and on.

    Alarms: a picture's labels contradict its text (upper end of their agreement below one half); a phrase means
    nothing to the model, or lies nearer to another option; an option is found less often than by guessing; a group whose labels are clearly less
    often right (adjusted p below .05) by 5 points or more; an attribute right in less than half of the faces.
    Warnings: the milder forms of these, labels that flip with the wording or a moved crop, probabilities
    clearly more off than sound ones would be (by 5 points), and attributes that hang together more than the truth does.

    Parameters
    ----------
    audit, options, calibration, prompts, crosstalk, texts, stability
        Tables of `accuracy`, `options`, `calibration`, `prompts`, `crosstalk`, `texts` and `stability`; those that are missing are not looked at.

    Returns
    -------
    `level` (Enum alarm, warning), `kind`, `attribute`, `size` (Float64, 0 to 1), `finding` (a sentence).
    """
    given: list[tuple[pl.DataFrame | None, Callable[[pl.DataFrame], Iterator[Finding]]]] = [
        (audit, _of_audit),
        (options, _of_options),
        (calibration, _of_calibration),
        (prompts, _of_prompts),
        (crosstalk, _of_crosstalk),
        (texts, _of_texts),
        (stability, _of_stability),
    ]
    rows = [finding for table, look in given if table is not None for finding in look(table)]
    texts_of = dict.fromkeys(("kind", "attribute"), pl.String)
    schema: dict[str, Any] = {"level": LEVELS, **texts_of, "size": pl.Float64, "finding": pl.String}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    # sizes of two kinds cannot be compared: the worst of each comes before the second worst of any
    place = pl.col("size").rank("ordinal", descending=True).over("level", "kind")
    return table.sort("level", place, "size", descending=[False, False, True], maintain_order=True)


def _of_audit(audit: pl.DataFrame) -> Iterator[Finding]:
    whole = {(r["attribute"], r["source"]): r for r in audit.filter(by="all").iter_rows(named=True)}
    sources = audit["source"].unique().to_list()
    # the picture's own labels are the merged ones, but for a few; where people gave all of these, they speak
    kept = pl.col("source") != "image" if "merged" in sources else pl.lit(value=True)
    # what the vector of a text says enters no table: how good it is stands in the scores
    for row in audit.filter(kept & (pl.col("source") != VECTOR)).iter_rows(named=True):
        name, value = row["attribute"], row["accuracy"]
        what = f"{_WHOSE.get(row['source'], 'Labels by the ' + row['source'])} of {_of(name)}"
        if row["by"] == "all":
            if name != "all" and row["accuracy_high"] < 0.8:
                level = "alarm" if row["accuracy_high"] < 0.5 else "warning"
                text = f"{what} are right for {value:.0%} of {row['n']} faces ({_ends(row, 'accuracy')})."
                yield Finding(level, "accuracy", name, 1 - value, text)
            continue
        every = whole[name, row["source"]]
        if row["p_adjusted"] is None or row["p_adjusted"] >= CLEAR or every["n"] <= row["n"]:
            continue
        rest = (every["accuracy"] * every["n"] - value * row["n"]) / (every["n"] - row["n"])
        if value < rest:
            text = (
                f"{what} are right for {value:.0%} of the {row['n']} faces with {row['by']} {row['group']},"
                f" but for {rest:.0%} of the others (adjusted p = {row['p_adjusted']:.2g})."
            )
            level = "alarm" if rest - value >= LARGE_GAP else "warning"
            yield Finding(level, "group", name, rest - value, text)


def _of_options(options: pl.DataFrame) -> Iterator[Finding]:
    for (name,), part in options.group_by("attribute", maintain_order=True):
        chance, total = 1 / part.height, part["n"].sum()
        for row in part.iter_rows(named=True):
            what = f"{str(name).replace('_', ' ')} {row['option']}"
            if row["recall"] is not None and row["recall_high"] < 0.5:
                level = "alarm" if row["recall_high"] < chance else "warning"
                text = (
                    f"The option {what} is found for {row['recall']:.0%} of the {row['n_true']} faces that have"
                    f" it ({_ends(row, 'recall')}); guessing finds {chance:.0%}."
                )
                yield Finding(level, "option", str(name), 1 - row["recall"], text)
            elif row["recall"] is None and total >= MIN_LABELS and row["share"] < 0.1 * chance:
                text = f"The option {what} is hardly ever given: {row['n']} of {total} labels. Look at its prompts."
                yield Finding("warning", "option", str(name), 1 - row["share"] / chance, text)


def _of_calibration(calibration: pl.DataFrame) -> Iterator[Finding]:
    beyond = pl.col("ece") - pl.col("ece_chance")
    clear = (pl.col("ece") > pl.col("ece_chance_high")) & (beyond > MISCALIBRATED)
    for row in calibration.filter(clear).iter_rows(named=True):
        text = (
            f"Probabilities of {_of(row['attribute'])} ({row['source']}) are off by {row['ece']:.0%} on average,"
            f" where sound ones of {row['n']} faces would seem off by {row['ece_chance']:.0%} (after temperature"
            f" scaling with {row['temperature']:.2f}: {row['ece_scaled']:.0%})."
        )
        size = row["ece"] - row["ece_chance"]
        yield Finding("warning", "calibration", row["attribute"], size, text)


def _of_prompts(prompts: pl.DataFrame) -> Iterator[Finding]:
    for row in prompts.iter_rows(named=True):
        what = f"the {row['kind']} {row['prompt']!r} of {_of(row['attribute'])}"
        if row["nonsense"]:
            text = (
                f"Nonsense prompt: {what}, option {row['option']}, means no more to the model than random letters."
                " Look for a slip of the pen, or say it in other words."
            )
            yield Finding("alarm", "prompt", row["attribute"], max(row["flips"] or 0.0, 0.75), text)
        elif row["astray"]:
            text = (
                f"Prompt astray: {what}, option {row['option']}, lies nearer to another option than to the other"
                f" phrases of its own; without it {row['flips']:.0%} of the labels change."
            )
            yield Finding("alarm", "prompt", row["attribute"], max(row["flips"], 0.5), text)
        elif row["low"] is not None and row["low"] > FEW_FLIPS:
            text = f"Without {what}, {row['flips']:.0%} of the labels change ({_ends(row, '')})."
            yield Finding("warning", "prompt", row["attribute"], row["flips"], text)


def _of_crosstalk(crosstalk: pl.DataFrame) -> Iterator[Finding]:
    for row in crosstalk.filter(pl.col("low") > 0.05).iter_rows(named=True):
        text = (
            f"Labels of {_of(row['a'])} and {_of(row['b'])} hang together more than the truth does (Cramer's V"
            f" {row['labels']:.2f} against {row['truth']:.2f}); most of all {row['example']}."
        )
        yield Finding("warning", "cross-talk", row["a"], row["excess"], text)


def _of_texts(texts: pl.DataFrame) -> Iterator[Finding]:
    for row in texts.filter(pl.col("high") < 0.75).iter_rows(named=True):
        alarm = row["high"] < 0.5
        text = (
            f"Picture and text {'contradict each other' if alarm else 'often disagree'} in {_of(row['attribute'])}:"
            f" they agree on {row['agreement']:.0%} of {row['n']} faces ({_ends(row, '')})."
        )
        level = "alarm" if alarm else "warning"
        yield Finding(level, "text", row["attribute"], 1 - row["agreement"], text)


def _of_stability(stability: pl.DataFrame) -> Iterator[Finding]:
    for row in stability.filter(pl.col("low") > MANY_FLIPS).iter_rows(named=True):
        text = (
            f"Labels of {_of(row['attribute'])} change for {row['flips']:.0%} of {row['n']} faces when the picture"
            f" is {row['variant']} ({_ends(row, '')})."
        )
        yield Finding("warning", "stability", row["attribute"], row["flips"], text)


def _of(name: str) -> str:
    return "all attributes" if name == "all" else name.replace("_", " ")


def _ends(row: dict[str, float], name: str) -> str:
    low, high = (row[f"{name}_{end}" if name else end] for end in ("low", "high"))
    return f"95% interval {low:.0%} to {high:.0%}"
