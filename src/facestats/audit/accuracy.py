"""Score labels against known truth: over all faces, per group, and per combination of groups."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.audit.confusion import count_pairs, effective_size, score_pairs
from facestats.audit.label_sources import MERGED, TEXT, VECTOR, label_sources
from facestats.audit.match_truth import match_truth
from facestats.audit.person_tests import PersonTest, mean_interval
from facestats.core.groups import person_codes
from facestats.core.stats import smallest_gap
from facestats.core.tables import AUDIT, KEY, TRUE_PREFIX, check_columns, check_table
from facestats.store.fingerprint import frame_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from facestats.core.config import AttributeSettings, Config

log = logging.getLogger(__name__)
ALL = "all"  # in column `by` and `group`: all faces; in column `attribute`: the mean over attributes
SIGNIFICANCE = 0.05  # adjusted p-value below which a group differs from the other faces
_MADE_BY = "fs.merge_master (notebooks/06_master.ipynb)"


def accuracy(
    master: pl.DataFrame,
    attributes: Mapping[str, AttributeSettings],
    truth: pl.DataFrame,
    *,
    by: Sequence[str] = ("gender", "ethnicity"),
    people: pl.DataFrame | None = None,
    seed: int = 0,
) -> pl.DataFrame:
    """Score every source of labels against the truth, over all faces, per group and per combination of groups.

    A missing label of a picture counts as wrong. Two cases are not scored: a text that does not mention the attribute,
    and a merged label that a person gave (it would be compared with itself).

    Parameters
    ----------
    master
        Table of stage 06: merged labels (`a`), labels of the picture (`image_a`) and of the text (`text_a`) and, if
        there are any, of the probe (`probe_a`) and of classifiers.
    attributes
        ``cfg.attributes``.
    truth
        Table of :func:`facestats.human_labels.read_truth`. Pictures that are not in it are not scored.
    by
        Attributes whose true values define the groups; those without truth are ignored.
    people
        Table of :func:`facestats.inputs.read_people`: pictures of one person are alike, so intervals and p-values count
        persons. By default each picture shows another person.
    seed
        Seed of the intervals and permutations.

    Returns
    -------
    Table `audit`, one row per attribute, source and group:

    - `slice` (String): the next four columns, joined by ``|``;
    - `attribute` (String; ``all`` is the mean over attributes), `source` (String: merged, image, text, probe, or the
      prefix of a classifier), `by` (String: ``all``, an attribute, or several joined by ``+``), `group` (String);
    - `n` (Int64): faces scored;
    - `accuracy` (Float64, 0 to 1) with `accuracy_low` and `accuracy_high` (95 %: Wilson 1927, for the number of
      independent faces that tell as much, Kish 1965; for ``all`` attributes Student's t over persons);
    - `balanced_accuracy` (mean recall) and `macro_f1`, each with `_low` and `_high` (Float64, 95 %, see
      :func:`facestats.audit.confusion.score_pairs`); within a group, over the options that are true there; null if the
      attribute itself defines the groups;
    - `p_adjusted` (Float64): p-value of the group's accuracy against that of all other faces (permutation of whole
      persons, Phipson & Smyth 2010), adjusted for the groups compared within an attribute (Benjamini & Hochberg 1995);
    - `smallest_gap` (Float64): smallest difference in accuracy from the other faces that a test would find in a group
      of this size with a power of 80 %; null if it would find none.

    Raises
    ------
    TableError
        If `master` has no `image_id`, or if the truth has rows but none of its pictures is in `master`.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> found = fs.audit.accuracy(project.master, project.attributes, project.truth, by=["age"])
    >>> found.filter(by="age", attribute="age", source="text").select("group", "n", "accuracy").rows()
    [('child', 6, 1.0), ('elderly', 6, 1.0)]
    """
    check_columns(master, KEY, made_by=_MADE_BY)
    matched = match_truth(truth, master)
    if lost := truth.height - matched.height:
        log.warning(
            "%d of %d pictures with known truth are not in master and are not scored", lost, truth.height
        )
    faces = matched.join(master, on=KEY, how="inner", validate="1:1", maintain_order="left")
    known = [name for name in attributes if TRUE_PREFIX + name in truth.columns]
    persons = person_codes(faces[KEY], people)
    slices = list(_slices(faces, [name for name in by if name in known]))
    rows: list[dict[str, Any]] = []
    for source, pattern in label_sources(master.columns, attributes).items():
        correct: dict[str, NDArray[np.float64]] = {}
        for name in known:
            if pattern.format(name) in faces.columns:
                pairs = _codes_of_pairs(faces, name, pattern.format(name), list(attributes[name].options))
                scored = _scored_faces(faces, name, source, pairs)
                correct[name] = np.where(scored, pairs[0] == pairs[1], np.nan)
                n_options = len(attributes[name].options)
                test = PersonTest(correct[name], persons, seed=seed)
                rows += [
                    {"attribute": name, "source": source, "by": b, "group": g, "p_adjusted": test.p(mask)}
                    | _score_slice(
                        *pairs, mask & scored, persons, n_options=n_options, whole=b == ALL, seed=seed
                    )
                    for b, g, mask in slices
                ]
        if correct:
            shares = _share_per_face(np.stack(list(correct.values())))
            test = PersonTest(shares, persons, seed=seed)
            rows += [
                {"attribute": ALL, "source": source, "by": b, "group": g, "p_adjusted": test.p(mask)}
                | _score_all_attributes(shares, mask, persons)
                for b, g, mask in slices
            ]
    return check_table(_audit_table(rows), AUDIT)


def settings(cfg: Config, truth: pl.DataFrame) -> dict[str, Any]:
    """Turn a configuration into the keywords of :func:`facestats.audit.accuracy`.

    Parameters
    ----------
    cfg
        From :func:`facestats.load_config`.
    truth
        From :func:`facestats.human_labels.read_truth`.

    Returns
    -------
    `by` (tuple of attribute names), `person` (the column that names persons), `seed` (int) and a hash of the truth (str),
    which are recorded with the table.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import Config
    >>> project = fs.testing.example_project()
    >>> found = fs.audit.settings(Config(attributes=project.attributes, seed=3), project.truth)
    >>> found["by"], found["seed"], list(found)
    (('gender', 'ethnicity'), 3, ['by', 'person', 'seed', 'truth'])
    """
    return {
        "by": cfg.audit.by,
        "person": cfg.ratings.person,
        "seed": cfg.seed,
        "truth": frame_digest(truth),
    }


def _scored_faces(
    faces: pl.DataFrame, name: str, source: str, pairs: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> NDArray[np.bool_]:
    """Mask of the faces on which a source is scored: the truth is known, and the source could give a label."""
    scored = pairs[0] >= 0
    if source in {TEXT, VECTOR}:
        return scored & (pairs[1] >= 0)
    if source == MERGED and f"{name}_source" in faces.columns:  # a person's answer is itself the truth
        human = faces[f"{name}_source"].cast(pl.String) == "human"
        return scored & ~human.fill_null(value=False).to_numpy()
    return scored


def _slices(faces: pl.DataFrame, by: list[str]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yield `by`, `group` and a mask for all faces, for each group, and for each combination of groups."""
    yield ALL, ALL, np.ones(faces.height, dtype=bool)
    for names in [[name] for name in by] + ([by] if len(by) > 1 else []):
        columns = [TRUE_PREFIX + name for name in names]
        for values in faces.select(columns).drop_nulls().unique().sort(columns).iter_rows():
            mask = np.ones(faces.height, dtype=bool)
            for column, value in zip(columns, values, strict=True):
                mask &= (faces[column].cast(pl.String) == value).fill_null(value=False).to_numpy()
            yield "+".join(names), ", ".join(map(str, values)), mask


def _codes_of_pairs(
    faces: pl.DataFrame, name: str, column: str, options: list[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Index of the true option and of the label of each face; -1 if it is missing or is no option."""
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
    persons: NDArray[np.int64],
    *,
    n_options: int,
    whole: bool,
    seed: int,
) -> dict[str, Any]:
    """Score one attribute on the faces of `mask`."""
    counts = count_pairs(truth[mask], label[mask], n_options)
    size = effective_size((truth == label)[mask], persons[mask])
    scores = score_pairs(counts, true_options_only=not whole, n_effective=size, seed=seed)
    return {"n": int(mask.sum())} | {
        f"{metric}{end}": value
        for metric, score in scores.items()
        for end, value in zip(("", "_low", "_high"), score, strict=True)
    }


def _share_per_face(correct: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of correct labels of each face, over its scored attributes; NaN for a face without any."""
    known = np.isfinite(correct).sum(axis=0)
    return np.where(known > 0, np.nansum(correct, axis=0) / np.maximum(known, 1), np.nan)


def _score_all_attributes(
    shares: NDArray[np.float64], mask: NDArray[np.bool_], persons: NDArray[np.int64]
) -> dict[str, Any]:
    """Mean share of correct labels of the faces of `mask`."""
    known = mask & np.isfinite(shares)
    if not known.any():
        return {"n": 0}
    names = ("accuracy", "accuracy_low", "accuracy_high")
    return {"n": int(known.sum())} | dict(
        zip(names, mean_interval(shares[known], persons[known]), strict=True)
    )


def _audit_table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Make the table `audit` of the scored slices; slices without a scored face are left out."""
    schema = {c: t for c, t in AUDIT.columns.items() if c != "slice"}
    table = pl.DataFrame([{c: row.get(c) for c in schema} for row in rows], schema=schema, orient="row")
    table = table.with_columns(pl.selectors.float().fill_nan(None)).filter(pl.col("n") > 0)
    compared = ["source", "by", "attribute"]
    adjusted = pl.col("p_adjusted").map_batches(_adjust_p_values, return_dtype=pl.Float64).over(compared)
    # a group that the attribute itself defines has one true option: its recall is the accuracy once more
    itself = pl.col("by").str.split("+").list.contains(pl.col("attribute"))
    over_options = pl.selectors.starts_with("balanced_accuracy", "macro_f1")
    return table.with_columns(
        pl.when(~itself).then(over_options),
        p_adjusted=adjusted,
        smallest_gap=pl.Series(_smallest_gaps(table), dtype=pl.Float64),
    ).select(pl.concat_str("attribute", "source", "by", "group", separator="|").alias("slice"), *schema)


def _smallest_gaps(table: pl.DataFrame) -> list[float | None]:
    """Smallest difference that could be found in each row, given how many groups are compared with it."""
    whole = {(r["attribute"], r["source"]): r for r in table.filter(by=ALL).iter_rows(named=True)}
    n_groups = table.select(pl.len().over("source", "by", "attribute")).to_series()
    out: list[float | None] = []
    for row, n_compared in zip(table.iter_rows(named=True), n_groups, strict=True):
        every = whole[row["attribute"], row["source"]]
        n_others = every["n"] - row["n"]
        if row["attribute"] == ALL or not n_others:
            out.append(None)
            continue
        share = (every["accuracy"] * every["n"] - row["accuracy"] * row["n"]) / n_others
        out.append(smallest_gap(row["n"], n_others, min(1.0, share), level=SIGNIFICANCE / n_compared))
    return out


def _adjust_p_values(p: pl.Series) -> pl.Series:
    """Adjust the p-values that are not null (Benjamini & Hochberg 1995)."""
    from scipy.stats import false_discovery_control

    known = p.is_not_null().to_numpy()
    out = np.full(len(p), np.nan)
    if known.any():
        out[known] = false_discovery_control(p.drop_nulls().to_numpy())
    return pl.Series(out).fill_nan(None)
