"""Turn the tables of an audit into sentences, the most alarming first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from facestats.audit.accuracy import SIGNIFICANCE
from facestats.audit.label_sources import IMAGE, MERGED, PROBE, TEXT, VECTOR
from facestats.core.display import count_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEVELS = pl.Enum(["alarm", "warning"])
LARGE_GAP = 0.05  # a group whose accuracy is lower by this much or more is an alarm
MISCALIBRATED = 0.05  # calibration error beyond what calibrated probabilities show by chance
ASSOCIATED = 0.05  # excess of Cramer's V, lower end of its interval
FLIPS_BY_PROMPT, FLIPS_BY_CROP = 0.05, 0.1  # share of labels that change, lower end of its interval
MIN_LABELS = 100  # labels that an attribute needs before a rare option is reported
_FROM = {MERGED: "", IMAGE: " from prompts", TEXT: " from texts", PROBE: " from the probe"}


class Finding(NamedTuple):
    """One sentence with its level, kind, attribute, and size between 0 and 1."""

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
    """Say in sentences what is wrong with the labels.

    An alarm is raised if

    - labels of picture and text contradict each other: the upper end of their agreement lies below 50 %;
    - a phrase of a prompt is `nonsense` or `astray`, see :func:`facestats.audit.prompts`;
    - an option is found less often than random guessing would find it;
    - the labels of a group are correct less often than those of the other faces, by 5 percentage points or more, with an
      adjusted p below .05;
    - an attribute is correct for less than half of the faces.

    A warning is given for milder forms of these, for labels that change without one wording or with a moved crop, for
    probabilities that are less calibrated than chance explains (by 5 percentage points), and for attributes that are
    associated more strongly than the truth.

    Parameters
    ----------
    audit, options, calibration, prompts, crosstalk, texts, stability
        Tables of the functions of these names in `fs.audit` (`audit` is that of ``accuracy``). A table that is not given
        is not checked.

    Returns
    -------
    One row per finding: `level` (Enum: alarm, warning), `kind`, `attribute` (String), `size` (Float64, 0 to 1; larger is
    worse within a kind), `finding` (String, a sentence). Alarms come first. Within a level the worst of each kind comes
    first, then the second worst of each kind, and so on.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> texts = fs.audit.texts(project.master, project.attributes).with_columns(high=0.4)
    >>> found = fs.audit.findings(texts=texts)
    >>> found.select("level", "kind", "attribute").rows()
    [('alarm', 'text', 'age'), ('alarm', 'text', 'hair_color')]
    """
    given: list[tuple[pl.DataFrame | None, Callable[[pl.DataFrame], Iterator[Finding]]]] = [
        (audit, _check_accuracy),
        (options, _check_options),
        (calibration, _check_calibration),
        (prompts, _check_prompts),
        (crosstalk, _check_crosstalk),
        (texts, _check_texts),
        (stability, _check_stability),
    ]
    rows = [finding for table, check in given if table is not None for finding in check(table)]
    strings = dict.fromkeys(("kind", "attribute"), pl.String)
    schema: dict[str, Any] = {"level": LEVELS, **strings, "size": pl.Float64, "finding": pl.String}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    # sizes of two kinds cannot be compared: the worst of each comes before the second worst of any
    place = pl.col("size").rank("ordinal", descending=True).over("level", "kind")
    return table.sort("level", place, "size", descending=[False, False, True], maintain_order=True)


def _check_accuracy(audit: pl.DataFrame) -> Iterator[Finding]:
    whole = {(r["attribute"], r["source"]): r for r in audit.filter(by="all").iter_rows(named=True)}
    # merged labels are those of the picture with few exceptions, so that "image" would repeat their findings; if
    # people gave all merged labels, there are no merged rows, and "image" is checked
    checked = pl.col("source") != IMAGE if MERGED in audit["source"] else pl.lit(value=True)
    # labels from the vectors of texts enter no table: the scores show how good they are
    for row in audit.filter(checked & (pl.col("source") != VECTOR)).iter_rows(named=True):
        name, value = row["attribute"], row["accuracy"]
        labels = f"Labels of {_name(name)}{_FROM.get(row['source'], ' from the classifier ' + row['source'])}"
        if row["by"] == "all":
            if name != "all" and row["accuracy_high"] < 0.8:
                level = "alarm" if row["accuracy_high"] < 0.5 else "warning"
                faces = count_of(row["n"], "face")
                text = f"{labels} are correct for {value:.0%} of {faces} ({_interval(row, 'accuracy_')})."
                yield Finding(level, "accuracy", name, 1 - value, text)
            continue
        every = whole[name, row["source"]]
        if row["p_adjusted"] is None or row["p_adjusted"] >= SIGNIFICANCE or every["n"] <= row["n"]:
            continue
        others = (every["accuracy"] * every["n"] - value * row["n"]) / (every["n"] - row["n"])
        if value < others:
            correct = "are on average correct" if name == "all" else "are correct"
            text = (
                f"{labels} {correct} for {value:.0%} of the {count_of(row['n'], 'face')} with"
                f" {_group(row['by'], row['group'])}, but for {others:.0%} of the other faces (adjusted p = {row['p_adjusted']:.2g})."
            )
            level = "alarm" if others - value >= LARGE_GAP else "warning"
            yield Finding(level, "group", name, others - value, text)


def _check_options(options: pl.DataFrame) -> Iterator[Finding]:
    for (name,), part in options.group_by("attribute", maintain_order=True):
        chance, total = 1 / part.height, part["n"].sum()
        for row in part.iter_rows(named=True):
            option = f"By the prompts for pictures, the option {row['option']} of {_name(str(name))}"
            if row["recall"] is not None and row["recall_high"] < 0.5:
                level = "alarm" if row["recall_high"] < chance else "warning"
                text = (
                    f"{option} is found for {row['recall']:.0%} of the"
                    f" {count_of(row['n_true'], 'face that has it', 'faces that have it')}"
                    f" ({_interval(row, 'recall_')}). Random guessing would find {chance:.0%}."
                )
                yield Finding(level, "option", str(name), 1 - row["recall"], text)
            elif row["recall"] is None and total >= MIN_LABELS and row["share"] < 0.1 * chance:
                text = f"{option} is almost never given: {row['n']} of {total} labels. Check its wording."
                yield Finding("warning", "option", str(name), 1 - row["share"] / chance, text)


def _check_calibration(calibration: pl.DataFrame) -> Iterator[Finding]:
    excess = pl.col("ece") - pl.col("ece_chance")
    clear = (pl.col("ece") > pl.col("ece_chance_high")) & (excess > MISCALIBRATED)
    for row in calibration.filter(clear).iter_rows(named=True):
        text = (
            f"Probabilities of {_name(row['attribute'])}{_FROM[row['source']]} differ from the share of correct labels by"
            f" {row['ece']:.0%} on average. Calibrated probabilities of {count_of(row['n'], 'face')} would differ by"
            f" {row['ece_chance']:.0%} by chance. With temperature scaling (T = {row['temperature']:.2f}) the difference"
            f" is {row['ece_scaled']:.0%}."
        )
        size = row["ece"] - row["ece_chance"]
        yield Finding("warning", "calibration", row["attribute"], size, text)


def _check_prompts(prompts: pl.DataFrame) -> Iterator[Finding]:
    for row in prompts.iter_rows(named=True):
        name, wording = _name(row["attribute"]), f"the {row['kind']} {row['prompt']!r}"
        if row["nonsense"]:
            text = (
                f"Nonsense prompt: {wording} of {name}, option {row['option']}, means no more to the model than random"
                " letters. Check its spelling, or use other words."
            )
            yield Finding("alarm", "prompt", row["attribute"], max(row["flips"] or 0.0, 0.75), text)
        elif row["astray"]:
            text = (
                f"Prompt astray: {wording} of {name}, option {row['option']}, lies nearer to another option than to the"
                f" other phrases of its own option. Without it, {row['flips']:.0%} of {count_of(row['n'], 'label')} change."
            )
            yield Finding("alarm", "prompt", row["attribute"], max(row["flips"], 0.5), text)
        elif row["low"] is not None and row["low"] > FLIPS_BY_PROMPT:
            text = (
                f"Labels of {name} depend on one wording: without {wording}, {row['flips']:.0%} of"
                f" {count_of(row['n'], 'label')} change ({_interval(row)})."
            )
            yield Finding("warning", "prompt", row["attribute"], row["flips"], text)


def _check_crosstalk(crosstalk: pl.DataFrame) -> Iterator[Finding]:
    for row in crosstalk.filter(pl.col("low") > ASSOCIATED).iter_rows(named=True):
        text = (
            f"Labels of {_name(row['a'])} and {_name(row['b'])} from prompts are associated more strongly than the truth (Cramer's V"
            f" is {row['labels']:.2f} for the labels and {row['truth']:.2f} for the truth). The largest difference:"
            f" {row['example']}."
        )
        yield Finding("warning", "cross-talk", row["a"], row["excess"], text)


def _check_texts(texts: pl.DataFrame) -> Iterator[Finding]:
    for row in texts.filter(pl.col("high") < 0.75).iter_rows(named=True):
        alarm = row["high"] < 0.5
        text = (
            f"Picture and text {'contradict each other' if alarm else 'often disagree'} in {_name(row['attribute'])}:"
            f" their labels agree for {row['agreement']:.0%} of {count_of(row['n'], 'face')} ({_interval(row)})."
        )
        level = "alarm" if alarm else "warning"
        yield Finding(level, "text", row["attribute"], 1 - row["agreement"], text)


def _check_stability(stability: pl.DataFrame) -> Iterator[Finding]:
    for row in stability.filter(pl.col("low") > FLIPS_BY_CROP).iter_rows(named=True):
        text = (
            f"Labels of {_name(row['attribute'])} change for {row['flips']:.0%} of {count_of(row['n'], 'face')} when the"
            f" picture is {row['variant']} ({_interval(row)})."
        )
        yield Finding("warning", "stability", row["attribute"], row["flips"], text)


def _name(attribute: str) -> str:
    return "all attributes" if attribute == "all" else attribute.replace("_", " ")


def _group(by: str, group: str) -> str:
    """Write the group of column `by` and `group` in words: ``gender male and ethnicity African``."""
    names, values = by.split("+"), group.split(", ")
    if len(names) != len(values):  # an option holds a comma itself
        names, values = [by], [group]
    return " and ".join(f"{_name(name)} {value}" for name, value in zip(names, values, strict=True))


def _interval(row: dict[str, float], prefix: str = "") -> str:
    return f"95% interval {row[f'{prefix}low']:.0%} to {row[f'{prefix}high']:.0%}"
