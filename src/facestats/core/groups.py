"""Which rows must stay on one side of a test: near-duplicates, and pictures of one person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.vectors import first_near_duplicate, number_components

if TYPE_CHECKING:
    from numpy.typing import NDArray


def group_pictures(
    vectors: NDArray[np.float32], people: NDArray[np.int64] | None, *, min_cosine: float
) -> NDArray[np.int64]:
    """Number the groups that must not be torn apart, (n,).

    Parameters
    ----------
    vectors
        Unit vectors, (n, dim).
    people
        Number of the person in each picture, negative where nobody is named; None where no names are known.
    min_cosine
        Similarity from which on two pictures count as the same.
    """
    same = first_near_duplicate(vectors, min_cosine).astype(np.int64)
    return join_groups(same) if people is None else join_groups(same, people)


def number_people(names: pl.Series) -> NDArray[np.int64]:
    """Number names, (n,); -1 where there is none."""
    return names.cast(pl.String).rank("dense").fill_null(0).to_numpy().astype(np.int64) - 1


def join_groups(*keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Merge groupings: rows that share a group in any of them share one in the result; negative is no group."""
    n = len(keys[0])
    rows, columns, width = [], [], n
    for key in keys:
        known = np.flatnonzero(key >= 0)
        rows.append(known)
        columns.append(width + key[known])
        width += int(key.max(initial=-1)) + 1
    i, j = np.concatenate(rows), np.concatenate(columns)
    return number_components(i, j, width)[:n]
