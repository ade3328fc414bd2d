"""Stage 09: how far the labels can be trusted, for whom, and what goes wrong; with truth or without."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.audit.confusion import count_pairs, score_pairs
from facestats.audit.label_sources import MERGED, TEXT, VECTOR, label_sources
from facestats.audit.match_truth import match_truth
from facestats.core.stats import smallest_gap, wilson_interval
from facestats.core.tables import AUDIT, KEY, TRUE_PREFIX, check_columns, check_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from facestats.core.config import AttributeSettings, Config

log = logging.getLogger(__name__)
EVERY = "all"  # the name of the slice of all faces, and of all attributes together
CLEAR = 0.05  # p-value, shared by the groups of a comparison, that counts
_MADE_BY = "fs.merge_master (notebooks/06_master.ipynb)"


def accuracy(
    master: pl.DataFrame,
    attributes: Mapping[str, AttributeSettings],
    truth: pl.DataFrame,
    *,
    by: Sequence[str] = ("gender", "ethnicity"),
    seed: int = 0,
) -> pl.DataFrame:
    """Score every attribute against the truth, over all faces, per group and per combination of groups.

    Parameters
    ----------
    master
        Table of stage 06: labels of the picture (`image_a`), of the text (`text_a`), merged (`a`), and where there are
        any, of the probe (`probe_a`) and of classifiers.
    attributes
        ``cfg.attributes``.
    truth
        As :func:`facestats.human_labels.read_truth` returns it; pictures that are not in it do not count.
    by
        Attributes whose true values make the groups; those without truth are left out.
    seed
        Fixes the bootstrap.

    Returns
    -------
    Table `audit`, a row per `attribute` (and ``all``: the mean over attributes), `source` (merged, image, text, probe,
    the prefix of a classifier), `by` (``all``, an attribute, or several joined by ``+``) and `group`; `n` faces (a
    missing label of a picture counts as wrong; a text that says nothing, and a merged value that a person gave, do not
    count); `accuracy` (95 % Wilson interval; t interval over faces for ``all`` attributes), `balanced_accuracy` and
    `macro_f1` (bootstrap; in groups over their true options, null where the groups are made by the attribute itself),
    each with `_low` and `_high`; `p_adjusted`: p-value of the group's accuracy against that of all others (Fisher's exact test,
    Welch's t test for ``all``), adjusted for the number of groups compared within the attribute (Benjamini & Hochberg
    1995); `smallest_gap` to the others that a group of this size would have shown four times in five.

    Raises
    ------
    TableError
        If there is truth, but of none of these pictures.
    """
    check_columns(master, KEY, made_by=_MADE_BY)
    matched = match_truth(truth, master)
    if lost := truth.height - matched.height:
        log.warning("%d of %d pictures with known truth are not in master", lost, truth.height)
    faces = matched.join(master, on=KEY, how="inner", validate="1:1", maintain_order="left")
    known = [name for name in attributes if TRUE_PREFIX + name in truth.columns]
    slices = list(_slices(faces, [name for name in by if name in known]))
    rows: list[dict[str, Any]] = []
    for source, pattern in label_sources(master.columns, attributes).items():
        right: dict[str, NDArray[np.float64]] = {}
        for name in known:
            if pattern.format(name) in faces.columns:
                pairs = _pairs(faces, name, pattern.format(name), list(attributes[name].options))
                counts = _counting(faces, name, source, pairs)
                right[name] = np.where(counts, pairs[0] == pairs[1], np.nan)
                n_options = len(attributes[name].options)
                rows += [
                    {"attribute": name, "source": source, "by": b, "group": g}
                    | _score_slice(
                        *pairs, mask & counts, counts, n_options=n_options, of_truth=b != EVERY, seed=seed
                    )
                    for b, g, mask in slices
                ]
        if right:
            shares = _face_means(np.stack(list(right.values())))
            rows += [
                {"attribute": EVERY, "source": source, "by": b, "group": g} | _score_faces(shares, mask)
                for b, g, mask in slices
            ]
    return check_table(_audit_table(rows), AUDIT)


def _counting(
    faces: pl.DataFrame, name: str, source: str, pairs: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> NDArray[np.bool_]:
    """Which faces a source is scored on: those of known truth on which it could speak."""
    counts = pairs[0] >= 0
    if source in {TEXT, VECTOR}:
        return counts & (pairs[1] >= 0)
    if source == MERGED and f"{name}_source" in faces.columns:  # what a person said is itself the truth
        human = faces[f"{name}_source"].cast(pl.String) == "human"
        return counts & ~human.fill_null(value=False).to_numpy()
    return counts


def _slices(faces: pl.DataFrame, by: list[str]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yield all faces, each group, and each combination of groups, as a mask."""
    yield EVERY, EVERY, np.ones(faces.height, dtype=bool)
    for names in [[name] for name in by] + ([by] if len(by) > 1 else []):
        columns = [TRUE_PREFIX + name for name in names]
        for values in faces.select(columns).drop_nulls().unique().sort(columns).iter_rows():
            mask = np.ones(faces.height, dtype=bool)
            for column, value in zip(columns, values, strict=True):
                mask &= (faces[column].cast(pl.String) == value).fill_null(value=False).to_numpy()
            yield "+".join(names), ", ".join(map(str, values)), mask


def _pairs(
    faces: pl.DataFrame, name: str, column: str, options: list[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the true option and of the label of each face, -1 where unknown."""
    codes = {option: i for i, option in enumerate(options)}
    truth, label = (
        faces[c].cast(pl.String).replace_strict(codes, default=-1, return_dtype=pl.Int64).to_numpy()
        for c in (TRUE_PREFIX + name, column)
    )
    return truth, label


def _score_slice(
    truth: NDArray[np.int64],
    label: NDArray[np.int64],
    mask: NDArray[np.bool_],
    every: NDArray[np.bool_],
    *,
    n_options: int,
    of_truth: bool,
    seed: int,
) -> dict[str, Any]:
    from scipy.stats import fisher_exact

    scores = score_pairs(count_pairs(truth[mask], label[mask], n_options), of_truth=of_truth, seed=seed)
    inside, rest = (truth == label)[mask], (truth == label)[every & ~mask]
    table = [[int(inside.sum()), int((~inside).sum())], [int(rest.sum()), int((~rest).sum())]]
    p = float(fisher_exact(table).pvalue) if len(inside) and len(rest) else np.nan
    return {"n": int(mask.sum()), "p_adjusted": p} | {
        f"{m}{end}": value
        for m, score in scores.items()
        for end, value in zip(("", "_low", "_high"), score, strict=True)
    }


def _face_means(right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of right labels of each face over the attributes that are known of it."""
    known = np.isfinite(right).sum(axis=0)
    return np.where(known > 0, np.nansum(right, axis=0) / np.maximum(known, 1), np.nan)


def _score_faces(shares: NDArray[np.float64], mask: NDArray[np.bool_]) -> dict[str, Any]:
    from scipy.stats import t as student
    from scipy.stats import ttest_ind

    inside, rest = (v[np.isfinite(v)] for v in (shares[mask], shares[~mask]))
    n = len(inside)
    out: dict[str, Any] = {"n": n, "p_adjusted": np.nan, "accuracy": inside.mean() if n else np.nan}
    if (
        n and inside.std() == 0
    ):  # faces that are all alike show no spread, which is not to say that there is none
        low, high = wilson_interval(n * out["accuracy"], n)
        out |= {"accuracy_low": float(low), "accuracy_high": float(high)}
    elif n:
        half = student.ppf(0.975, n - 1) * inside.std(ddof=1) / np.sqrt(n)
        out |= {
            "accuracy_low": max(0.0, out["accuracy"] - half),
            "accuracy_high": min(1.0, out["accuracy"] + half),
        }
    if min(n, len(rest)) > 1 and inside.std() + rest.std() > 0:
        with warnings.catch_warnings():  # a group in which all faces are right has no spread of its own
            warnings.filterwarnings("ignore", message="Precision loss", category=RuntimeWarning)
            out["p_adjusted"] = float(ttest_ind(inside, rest, equal_var=False).pvalue)
    return out


def _audit_table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = {c: t for c, t in AUDIT.columns.items() if c != "slice"}
    table = pl.DataFrame([{c: row.get(c) for c in schema} for row in rows], schema=schema, orient="row")
    table = table.with_columns(pl.selectors.float().fill_nan(None)).filter(pl.col("n") > 0)
    family = ["source", "by", "attribute"]
    adjusted = pl.col("p_adjusted").map_batches(_adjust, return_dtype=pl.Float64).over(family)
    # recall of the only true option is the accuracy of the group once more
    itself = pl.col("by").str.split("+").list.contains(pl.col("attribute"))
    spread = pl.selectors.starts_with("balanced_accuracy", "macro_f1")
    return table.with_columns(
        pl.when(~itself).then(spread),
        p_adjusted=adjusted,
        smallest_gap=pl.Series(_gaps(table), dtype=pl.Float64),
    ).select(pl.concat_str("attribute", "source", "by", "group", separator="|").alias("slice"), *schema)


def _gaps(table: pl.DataFrame) -> list[float | None]:
    """Smallest gap that each group could have shown, as one of all that are compared with it."""
    whole = {(r["attribute"], r["source"]): r for r in table.filter(by=EVERY).iter_rows(named=True)}
    groups = table.select(pl.len().over("source", "by", "attribute")).to_series()
    out: list[float | None] = []
    for row, compared in zip(table.iter_rows(named=True), groups, strict=True):
        every = whole[row["attribute"], row["source"]]
        others = every["n"] - row["n"]
        if row["attribute"] == EVERY or not others:
            out.append(None)
            continue
        share = (every["accuracy"] * every["n"] - row["accuracy"] * row["n"]) / others
        out.append(smallest_gap(row["n"], others, min(1.0, share), level=CLEAR / compared))
    return out


def _adjust(p: pl.Series) -> pl.Series:
    from scipy.stats import false_discovery_control

    known = p.is_not_null().to_numpy()
    out = np.full(len(p), np.nan)
    if known.any():
        out[known] = false_discovery_control(p.drop_nulls().to_numpy())
    return pl.Series(out).fill_nan(None)


def options(
    master: pl.DataFrame,
    attributes: Mapping[str, AttributeSettings],
    truth: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Count how often the picture's label is each option and, where truth is known, how often it is found.

    Returns
    -------
    `attribute`, `option`, `n` (labels given), `share` of all labels, `score` (mean score of those labels); `n_true`,
    `recall` with `recall_low` and `recall_high` (Wilson), null without truth.
    """
    rows: list[tuple[Any, ...]] = []
    faces = (
        master
        if truth is None
        else master.join(match_truth(truth, master), on=KEY, how="left", validate="1:1")
    )
    for name, attribute in attributes.items():
        column = f"image_{name}" if f"image_{name}" in faces.columns else name
        label = faces[column].cast(pl.String)
        true = faces[TRUE_PREFIX + name].cast(pl.String) if TRUE_PREFIX + name in faces.columns else None
        for option in attribute.options:
            given = (label == option).fill_null(value=False)
            n, total = int(given.sum()), len(label) - label.null_count()
            score = (
                faces.filter(given)[f"{column}_score"].mean() if f"{column}_score" in faces.columns else None
            )
            row = (name, option, n, n / max(total, 1), score)
            if true is None or not (found := int((true == option).sum() or 0)):
                rows.append((*row, None if true is None else 0, None, None, None))
                continue
            hits = int((given & (true == option)).sum() or 0)
            low, high = wilson_interval(hits, found)
            rows.append((*row, found, hits / found, float(low), float(high)))
    floats = dict.fromkeys(("recall", "recall_low", "recall_high"), pl.Float64)
    schema = {
        "attribute": pl.String,
        "option": pl.String,
        "n": pl.Int64,
        "share": pl.Float64,
        "score": pl.Float64,
    }
    return pl.DataFrame(rows, schema={**schema, "n_true": pl.Int64, **floats}, orient="row")


def settings(cfg: Config) -> dict[str, Any]:
    """Turn a configuration into the keywords of :func:`facestats.audit.accuracy`.

    Parameters
    ----------
    cfg
        From :func:`facestats.load_config`.

    Returns
    -------
    `by` and `seed`.
    """
    return {"by": cfg.audit.by, "seed": cfg.seed}
