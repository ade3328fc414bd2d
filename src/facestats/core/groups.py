"""Group the pictures that must stay on one side of a test: near-duplicates, and pictures of one person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.tables import KEY
from facestats.core.vectors import first_near_duplicate, number_components

if TYPE_CHECKING:
    from numpy.typing import NDArray


def group_pictures(
    vectors: NDArray[np.float32], people: NDArray[np.int64] | None, *, min_cosine: float
) -> NDArray[np.int64]:
    """Number the groups of pictures that must not be divided between training and test.

    Parameters
    ----------
    vectors
        Unit vectors, (n, dim) float32.
    people
        Number of the person in each picture, (n,), negative where no person is named; None where no names are known.
    min_cosine
        Cosine similarity from which on two pictures count as near-duplicates, 0 to 1.

    Returns
    -------
    The number of each picture's group, (n,) int64.
    """
    same = first_near_duplicate(vectors, min_cosine).astype(np.int64)
    return join_groups(same) if people is None else join_groups(same, people)


def number_people(names: pl.Series) -> NDArray[np.int64]:
    """Give each name a number, (n,) int64: equal names get equal numbers, null gets -1."""
    return names.cast(pl.String).rank("dense").fill_null(0).to_numpy().astype(np.int64) - 1


def person_codes(ids: pl.Series, people: pl.DataFrame | None) -> NDArray[np.int64]:
    """Number the person in each picture, (n,) int64; a picture of which no person is named shows one of its own.

    Parameters
    ----------
    ids
        The `image_id` of the pictures.
    people
        `image_id` and a column that names the person; None where no names are known.
    """
    if people is None or people.width < 2:
        return np.arange(len(ids))
    name = next(c for c in people.columns if c != KEY)
    known = ids.to_frame(KEY).join(people.select(KEY, name), on=KEY, how="left", maintain_order="left")
    named = number_people(known[name])
    return join_groups(np.where(named < 0, named.max(initial=-1) + 1 + np.arange(len(named)), named))


def join_groups(*keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Merge groupings of the same rows: rows that share a group in any grouping share one in the result.

    Parameters
    ----------
    keys
        Groupings, each the group number of every row, (n,) int64; a negative number means no group.

    Returns
    -------
    The group number of every row in the merged grouping, (n,) int64.
    """
    n = len(keys[0])
    # a graph of rows and groups with an edge from each row to each of its groups: its components are the result
    rows, nodes, n_nodes = [], [], n
    for key in keys:
        known = np.flatnonzero(key >= 0)
        rows.append(known)
        nodes.append(n_nodes + key[known])
        n_nodes += int(key.max(initial=-1)) + 1
    return number_components(np.concatenate(rows), np.concatenate(nodes), n_nodes)[:n]
