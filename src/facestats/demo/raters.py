"""Simulated raters of drawn characters; their true scores and biases are known, so every estimate can be checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Points of the rating scale that a character gains or loses. They are arbitrary on purpose and leave out gender,
# ethnicity and age: the ratings of the demo are an exercise in statistics, not a claim about people.
_WEIGHTS = {
    "hair_style": {"curly": 0.5, "wavy": 0.3, "ponytail": -0.1, "bun": -0.4, "braided": 0.2},
    "hair_color": {"colorful": 0.6, "red": 0.4, "gray": -0.3, "brown": -0.2},
    "eye_color": {"green": 0.4, "amber": 0.3, "gray": -0.2},
    "dress": {"formal": 0.5, "fantasy": 0.6, "uniform": -0.3, "casual": -0.2},
}


@dataclass(frozen=True)
class Ratings:
    """Ratings in long form, and the true values behind them.

    Attributes
    ----------
    item, rater
        Index of the character and of the rater, int64, one entry per rating, sorted by item.
    rating
        float64, on the scale from 1 to 7.
    score
        True score of each character, float64, scale points.
    bias, slope
        Of each rater: rating = 4 + bias + slope * (score - 4) + noise, before rounding and clipping.
    noise_sd
        Standard deviation of the noise, scale points.
    """

    item: np.ndarray
    rater: np.ndarray
    rating: np.ndarray
    score: np.ndarray
    bias: np.ndarray
    slope: np.ndarray
    noise_sd: float


def score_characters(
    records: Sequence[Mapping[str, str | float | None]], *, seed: int, own_sd: float = 0.1
) -> np.ndarray:
    """Compute the true score of each character: a part for hair, eyes and dress, and a random part of its own.

    Parameters
    ----------
    records
        Attribute to option; a key `smile` between 0 and 1, if given, adds up to one point.
    seed
        Seed of the random parts.
    own_sd
        Standard deviation of the random part, scale points; small, because no model can learn it from a picture.

    Returns
    -------
    numpy.ndarray
        Shape (n,), float64, about 2 to 6.
    """
    own = np.random.default_rng(seed).normal(0.0, own_sd, len(records))
    known = [sum(w.get(str(record.get(name)), 0.0) for name, w in _WEIGHTS.items()) for record in records]
    smiles = [float(record.get("smile") or 0.0) for record in records]
    # tanh keeps sums of many points inside the scale, and makes the dependence smooth but not linear.
    return 4.0 + 2.0 * np.tanh((np.asarray(known) + np.asarray(smiles) + own - 0.4) / 2.0)


def simulate_ratings(
    records: Sequence[Mapping[str, str | float | None]],
    *,
    seed: int,
    n_raters: int = 12,
    share: float = 1.0,
    noise_sd: float = 0.8,
    rounded: bool = True,
) -> Ratings:
    """Simulate ratings from 1 to 7 by raters who each have a bias and a slope, with noise.

    Parameters
    ----------
    records
        As for `score_characters`, length n.
    seed
        The same seed gives the same scores, raters and ratings.
    n_raters
        Number of raters; their biases have mean 0 and standard deviation 0.5, their slopes mean 1 and 0.2.
    share
        Share of the characters that each rater sees, 0 to 1; 1 gives a full table.
    noise_sd
        Standard deviation of the noise, scale points.
    rounded
        Whether to round to whole points and clip to 1 to 7; unrounded ratings follow the model exactly.

    Returns
    -------
    Ratings
        The ratings, and the true values behind them.

    Raises
    ------
    ValueError
        If `n_raters` is below one or `share` is outside 0 to 1.
    """
    if n_raters < 1 or not 0.0 <= share <= 1.0:
        msg = f"n_raters must be at least 1 and share between 0 and 1; got {n_raters} and {share}."
        raise ValueError(msg)
    # Each source of chance has its own random stream, so that more raters change no score.
    rater_rng, noise_rng = (np.random.default_rng([seed, stream]) for stream in (1, 2))
    score = score_characters(records, seed=seed)
    bias = rater_rng.normal(0.0, 0.5, n_raters)
    slope = np.clip(rater_rng.normal(1.0, 0.2, n_raters), 0.3, None)
    seen = noise_rng.random((len(records), n_raters)) < share
    noise = noise_rng.normal(0.0, noise_sd, seen.shape)
    rating = 4.0 + bias + slope * (score[:, None] - 4.0) + noise
    if rounded:
        rating = np.clip(np.round(rating), 1.0, 7.0)
    item, rater = np.nonzero(seen)
    return Ratings(item, rater, rating[seen], score, bias, slope, noise_sd)
