"""Agreement of raters, severity of each rater, and mean rating of each face."""

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
    severity_errors,
    split_half,
    split_variance,
)
from facestats.ratings.layout import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_MEASURES = ("icc_2_1", "icc_2_k", "single_rater", "split_half", "spearman_brown", "ceiling")


def reliability(
    ratings: pl.DataFrame, *, n_splits: int = 1000, n_resamples: int = 200, seed: int = 0
) -> pl.DataFrame:
    """Measure how far raters agree, and how well their mean rating can be predicted at best.

    Parameters
    ----------
    ratings
        As returned by :func:`facestats.ratings.read`; not every rater needs to rate every face.
    n_splits
        Number of random splits of the raters into halves.
    n_resamples
        Number of resamples for the 95 % intervals. For the two ICC both faces and raters are simulated anew; for the
        other measures, which describe these raters only, the faces are resampled.
    seed
        Fixes splits and resamples.

    Returns
    -------
    One row per trait and measure: `trait`, `measure` (String), `value`, `low`, `high` (Float64), `n_faces`, `n_raters`
    (Int64). The measures are `icc_2_1` and `icc_2_k` (absolute agreement of one rater and of the mean, where k is the
    harmonic mean of the number of ratings per face; Shrout & Fleiss 1979, McGraw & Wong 1996), `single_rater` (mean
    correlation of one rater with the mean of the others), `split_half` (mean correlation of random halves),
    `spearman_brown` (the same, extrapolated to all raters) and `ceiling` (highest correlation with the mean ratings to
    be expected of any prediction: the square root of their consistency). They are null for a trait with too few ratings
    to tell faces, raters and noise apart, such as those of a single rater; :func:`facestats.ratings.check_traits` says
    why.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> table = fs.ratings.reliability(project.ratings, n_splits=20, n_resamples=20)
    >>> table["measure"].to_list()
    ['icc_2_1', 'icc_2_k', 'single_rater', 'split_half', 'spearman_brown', 'ceiling']
    >>> table.row(0)[-2:]
    (12, 4)
    """
    rows = []
    for trait, matrix, _, _ in _matrices(ratings):
        value, low, high = _with_intervals(matrix, n_splits=n_splits, n_resamples=n_resamples, seed=seed)
        for i, name in enumerate(_MEASURES):
            rows.append((trait, name, value[i], low[i], high[i], *matrix.shape))
    names = ("value", "low", "high")
    schema = {"trait": pl.String, "measure": pl.String, **dict.fromkeys(names, pl.Float64)}
    table = pl.DataFrame(rows, schema={**schema, "n_faces": pl.Int64, "n_raters": pl.Int64}, orient="row")
    return table.with_columns(pl.col(names).fill_nan(None))


def _with_intervals(
    matrix: NDArray[np.float64], *, n_splits: int, n_resamples: int, seed: int
) -> NDArray[np.float64]:
    """Values of `_MEASURES` for one matrix, and the ends of their intervals; (3, measures), NaN if it is too small."""
    try:
        value = _measures(matrix, n_splits=n_splits, seed=seed)
    except ValueError:
        return np.full((3, len(_MEASURES)), np.nan)

    def measure(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        try:  # 20 splits per resample are enough: their mean varies far less than the faces do
            return _measures(drawn, n_splits=20, seed=seed)
        except ValueError:  # a resample may hold too few of the ratings
            return np.full(len(_MEASURES), np.nan)

    resampled = resample_faces(matrix, measure, n_resamples=n_resamples, seed=seed)
    low, high = np.transpose([_quantiles(column) for column in resampled.T])
    for i, ends in enumerate(icc_intervals(matrix, n_resamples=n_resamples, seed=seed)):
        low[i], high[i] = ends
    return np.array([value, low, high])


def _quantiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = values[np.isfinite(values)]
    return np.quantile(known, [0.025, 0.975]) if len(known) else np.full(2, np.nan)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def rater_effects(ratings: pl.DataFrame, *, level: float = 0.95) -> pl.DataFrame:
    """Estimate the severity of each rater, and the agreement of each rater with the others.

    Parameters
    ----------
    ratings
        As returned by :func:`facestats.ratings.read`.
    level
        Coverage of the intervals, 0 to 1.

    Returns
    -------
    One row per trait and rater: `trait`, `rater_id` (String), `n` (Int64, faces rated), `severity` (Float64, scale points
    above the average rater on the same faces, by least squares) with `severity_low` and `severity_high` (t interval
    from the covariance of the fit, null if there are too few ratings), `agreement` (Float64, correlation with the mean of the others; null for raters
    who always give the same rating) with `agreement_low` and `agreement_high` (Fisher 1921).

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> effects = fs.ratings.rater_effects(project.ratings)
    >>> effects["rater_id"].to_list()
    ['rater_0', 'rater_1', 'rater_2', 'rater_3']
    >>> effects["n"].to_list()
    [12, 12, 12, 12]
    """
    from scipy.stats import t as student

    rows = []
    for trait, matrix, _, raters in _matrices(ratings):
        _, severity = additive_effects(matrix)
        errors, freedom = severity_errors(matrix)
        agreement = rater_agreement(matrix)
        factor = student.ppf((1 + level) / 2, max(freedom, 1))
        for j, rater in enumerate(raters):
            n, half = int(np.isfinite(matrix[:, j]).sum()), float(factor * errors[j])
            low, high = fisher_interval(agreement[j], n, level=level)
            row = (severity[j], severity[j] - half, severity[j] + half, agreement[j], low, high)
            rows.append((trait, rater, n, *row))
    names = ("severity", "severity_low", "severity_high", "agreement", "agreement_low", "agreement_high")
    schema = {"trait": pl.String, "rater_id": pl.String, "n": pl.Int64, **dict.fromkeys(names, pl.Float64)}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col(names).fill_nan(None))


def average(ratings: pl.DataFrame, *, trait: str | None = None) -> pl.DataFrame:
    """Average the ratings of each face, corrected for the severity of its raters.

    Parameters
    ----------
    ratings
        As returned by :func:`facestats.ratings.read`.
    trait
        Name of the trait; may be omitted if there is only one.

    Returns
    -------
    One row per face: `image_id`, `rating` (Float64, scale points; the plain mean if every rater rated every face) and
    `n` (Int64, number of ratings).

    Raises
    ------
    ValueError
        If `trait` was not rated, or if it is omitted and there are several.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> means = fs.ratings.average(project.ratings)
    >>> means.columns
    ['image_id', 'rating', 'n']
    >>> means["rating"].head(3).round(1).to_list()
    [2.5, 3.5, 4.5]
    """
    matrix, images = pick_trait(ratings, trait)[1:3]
    faces, _ = additive_effects(matrix)
    return pl.DataFrame({KEY: images, "rating": faces, "n": np.isfinite(matrix).sum(axis=1)})


def _matrices(ratings: pl.DataFrame) -> Iterator[tuple[str, NDArray[np.float64], list[str], list[str]]]:
    """Yield for each trait its name, the matrix (faces, raters), the faces and the raters."""
    check_columns(ratings, KEY, "rater_id", "trait", "rating", made_by="fs.ratings.read")
    for (trait,), part in ratings.sort("trait", KEY).group_by("trait", maintain_order=True):
        wide = part.sort("rater_id").pivot(on="rater_id", index=KEY, values="rating").sort(KEY)
        matrix = wide.drop(KEY).cast(pl.Float64).fill_null(np.nan).to_numpy()
        _warn_about_panels(str(trait), matrix)
        yield str(trait), matrix, wide[KEY].to_list(), wide.columns[1:]


def _warn_about_panels(trait: str, matrix: NDArray[np.float64]) -> None:
    """Log a warning if the raters form panels that share no face."""
    panel_of_face, panel_of_rater = find_panels(matrix)
    if panel_of_face.max() == 0:
        return
    sizes = zip(np.bincount(panel_of_rater).tolist(), np.bincount(panel_of_face).tolist(), strict=True)
    shown = [f"{raters:,} raters of {faces:,} faces" for raters, faces in sizes]
    log.warning(
        "%s: the raters form %d panels that share no face: %s. Severity is estimated within each panel, so a severe"
        " panel looks like a panel of lower-rated faces. Analyse each panel alone, or let some raters rate faces of"
        " several panels.",
        trait,
        len(shown),
        "; ".join(shown[:5]) + ("; and others" if len(shown) > 5 else ""),
    )


def pick_trait(
    ratings: pl.DataFrame, trait: str | None
) -> tuple[str, NDArray[np.float64], list[str], list[str]]:
    """Find the trait asked for: its name, its matrix (faces, raters), the faces and the raters."""
    found = ratings["trait"].unique().sort().to_list()
    if trait is not None and trait not in found:
        trait = name_of(trait)
    if trait is None and len(found) == 1:
        trait = found[0]
    if trait not in found:
        msg = f"trait must be one of the rated traits {found}, got {trait!r}. Give trait=..."
        raise ValueError(msg)
    return next(_matrices(ratings.filter(trait=trait)))


def _measures(matrix: NDArray[np.float64], *, n_splits: int, seed: int) -> NDArray[np.float64]:
    """Values of `_MEASURES` for one matrix."""
    components = split_variance(matrix)
    halves = split_half(matrix, n_splits=n_splits, seed=seed)
    # halves of few faces can be exactly opposite, for which the formula has no value
    spearman_brown = np.maximum(2 * halves / np.where(halves > -1, 1 + halves, np.nan), -1)
    return np.array(
        [
            components.icc(),
            components.icc(components.per_face),
            _mean(rater_agreement(matrix)),
            _mean(halves),
            _mean(spearman_brown),
            components.ceiling(),
        ]
    )
