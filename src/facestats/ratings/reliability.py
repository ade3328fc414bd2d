"""Panels of raters: how far they agree, who is severe, and their mean."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.tables import KEY, check_columns
from facestats.ratings.agreement import (
    additive_effects,
    find_panels,
    fisher_interval,
    icc_intervals,
    rater_agreement,
    resample_faces,
    split_half,
    split_variance,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_MEASURES = ("icc_2_1", "icc_2_k", "single_rater", "split_half", "spearman_brown", "ceiling")


def reliability(
    ratings: pl.DataFrame, *, n_splits: int = 1000, n_resamples: int = 200, seed: int = 0
) -> pl.DataFrame:
    """Say how far raters agree, and how well their mean can be predicted at all.

    Parameters
    ----------
    ratings
        As :func:`facestats.ratings.read` returns them; not every rater needs to rate every face.
    n_splits
        Random halves of the raters.
    n_resamples
        Resamples for the 95 % intervals: faces and raters both drawn anew (parametric) for the two ICC; faces
        alone for the others, which speak of the raters at hand.
    seed
        Fixes both.

    Returns
    -------
    Per trait a row per `measure`, with `value`, `low`, `high` (Float64), `n_faces`, `n_raters` (Int64):
    `icc_2_1` and `icc_2_k` (absolute agreement of one rater and of the mean, k the harmonic mean of ratings per
    face; Shrout & Fleiss 1979, McGraw & Wong 1996), `single_rater` (mean correlation of one rater with the
    mean of the rest), `split_half` (mean correlation of random halves), `spearman_brown` (the same, stepped up
    to all raters), `ceiling` (highest correlation to be expected with the mean ratings: the root of their
    consistency).
    """
    rows = []
    for trait, matrix, _, _ in _matrices(ratings):
        value = _measures(matrix, n_splits=n_splits, seed=seed)
        # few halves do for each resample: their mean varies far less than the faces do
        drawn = resample_faces(
            matrix, lambda m: _measures(m, n_splits=20, seed=seed), n_resamples=n_resamples, seed=seed
        )
        low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
        for i, ends in enumerate(icc_intervals(matrix, n_resamples=n_resamples, seed=seed)):
            low[i], high[i] = ends
        for i, name in enumerate(_MEASURES):
            rows.append((trait, name, value[i], low[i], high[i], *matrix.shape))
    names = ("value", "low", "high")
    schema = {"trait": pl.String, "measure": pl.String, **dict.fromkeys(names, pl.Float64)}
    return pl.DataFrame(rows, schema={**schema, "n_faces": pl.Int64, "n_raters": pl.Int64}, orient="row")


def rater_effects(ratings: pl.DataFrame, *, level: float = 0.95) -> pl.DataFrame:
    """Say for each rater how severe they are and how far they agree with the others.

    Parameters
    ----------
    ratings
        As :func:`facestats.ratings.read` returns them.
    level
        Coverage of the intervals.

    Returns
    -------
    `trait`, `rater_id`, `n` (faces rated), `severity` (scale points above the average rater on the same faces,
    least squares) with `severity_low` and `severity_high` (t interval from the rater's own residuals),
    `agreement` (correlation with the mean of the rest, null for raters who never vary) with `agreement_low`
    and `agreement_high` (Fisher 1921).
    """
    from scipy.stats import t as student

    rows = []
    for trait, matrix, _, raters in _matrices(ratings):
        faces, severity = additive_effects(matrix)
        agreement = rater_agreement(matrix)
        share = 1 - 1 / matrix.shape[1]  # severity is measured against the mean of all raters
        for j, rater in enumerate(raters):
            residual = (matrix[:, j] - faces - severity[j])[np.isfinite(matrix[:, j])]
            n = len(residual)
            error = np.sqrt((residual**2).sum() / max(n - 1, 1) / n / share)
            half = float(student.ppf((1 + level) / 2, max(n - 1, 1)) * error)
            low, high = fisher_interval(agreement[j], n, level=level)
            row = (severity[j], severity[j] - half, severity[j] + half, agreement[j], low, high)
            rows.append((trait, rater, n, *row))
    names = ("severity", "severity_low", "severity_high", "agreement", "agreement_low", "agreement_high")
    schema = {"trait": pl.String, "rater_id": pl.String, "n": pl.Int64, **dict.fromkeys(names, pl.Float64)}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col(names).fill_nan(None))


def average(ratings: pl.DataFrame, *, trait: str | None = None) -> pl.DataFrame:
    """Average the ratings of each face with the severity of its raters taken out.

    Parameters
    ----------
    ratings
        As :func:`facestats.ratings.read` returns them.
    trait
        Which one; may be left out where there is only one.

    Returns
    -------
    `image_id`, `rating` (Float64, scale points; the plain mean where everybody rated everything), `n` (ratings).
    """
    matrix, images = pick_trait(ratings, trait)[1:3]
    faces, _ = additive_effects(matrix)
    return pl.DataFrame({KEY: images, "rating": faces, "n": np.isfinite(matrix).sum(axis=1)})


def _matrices(ratings: pl.DataFrame) -> Iterator[tuple[str, NDArray[np.float64], list[str], list[str]]]:
    """Yield per trait its name, the matrix faces by raters, the faces and the raters."""
    check_columns(ratings, KEY, "rater_id", "trait", "rating", made_by="fs.ratings.read")
    for (trait,), part in ratings.sort("trait", KEY).group_by("trait", maintain_order=True):
        wide = part.sort("rater_id").pivot(on="rater_id", index=KEY, values="rating").sort(KEY)
        matrix = wide.drop(KEY).cast(pl.Float64).fill_null(np.nan).to_numpy()
        _tell_panels(str(trait), matrix)
        yield str(trait), matrix, wide[KEY].to_list(), wide.columns[1:]


def _tell_panels(trait: str, matrix: NDArray[np.float64]) -> None:
    """Say so in the log where raters fall into panels that share no face."""
    of_face, of_rater = find_panels(matrix)
    if of_face.max() == 0:
        return
    sizes = zip(np.bincount(of_rater).tolist(), np.bincount(of_face).tolist(), strict=True)
    shown = [f"{raters:,} raters of {faces:,} faces" for raters, faces in sizes]
    log.warning(
        "%s: the raters fall into %d panels that share no face: %s. Severity is measured inside each; between panels"
        " the plain means count, so that a severe panel looks like lower faces. Look at each panel alone, or let some"
        " raters see faces of both.",
        trait,
        len(shown),
        "; ".join(shown[:5]) + ("; and others" if len(shown) > 5 else ""),
    )


def pick_trait(
    ratings: pl.DataFrame, trait: str | None
) -> tuple[str, NDArray[np.float64], list[str], list[str]]:
    """Name of the one trait meant, its matrix faces by raters, the faces and the raters."""
    found = ratings["trait"].unique().sort().to_list()
    if trait is None and len(found) == 1:
        trait = found[0]
    if trait not in found:
        msg = f"trait {trait!r} is not among those rated: {found}. Name one of them."
        raise ValueError(msg)
    return next(_matrices(ratings.filter(trait=trait)))


def _measures(matrix: NDArray[np.float64], *, n_splits: int, seed: int) -> NDArray[np.float64]:
    """Values of `MEASURES` for one matrix."""
    parts = split_variance(matrix)
    halves = split_half(matrix, n_splits=n_splits, seed=seed)
    stepped = 2 * halves / (1 + halves)
    return np.array(
        [
            parts.icc(),
            parts.icc(parts.per_face),
            np.nanmean(rater_agreement(matrix)),
            np.nanmean(halves),
            np.nanmean(stepped),
            parts.ceiling(),
        ]
    )
