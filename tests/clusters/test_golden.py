from __future__ import annotations

import numpy as np
import polars as pl

import facestats as fs
from facestats import clusters
from tests.golden import check_golden

N, DIM = 90, 60


def world():
    """Vectors round three centres, wide in all directions; some are nearly, or almost nearly, the same."""
    rng = np.random.default_rng(7)
    group = np.repeat(np.arange(3), (45, 27, 18))
    x = rng.normal(size=(3, DIM))[group] * 0.8 + rng.normal(size=(N, DIM))
    x[::17] *= 1.6  # outliers
    whole = rng.normal(size=(N, 9))
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    for i, cosine in enumerate((0.981, 0.985, 0.979, 0.975, 0.99, 0.985)):
        near = i if i < 4 else N - 10 + i  # of the last two, one repeats what itself is a repetition
        step = rng.normal(size=9)
        step -= (step @ whole[near]) * whole[near]
        step *= np.sqrt(1 - cosine**2) / np.linalg.norm(step)
        whole[N - 5 + i - (i == 5)] = cosine * whole[near] + step
    kind = {"embedding": x, "embedding_full": whole}
    table = pl.DataFrame(
        {"image_id": [f"{i:02d}.jpg" for i in range(N)]}
        | {
            c: pl.Series(v.astype(np.float32), dtype=pl.Array(pl.Float32, v.shape[1]))
            for c, v in kind.items()
        }
    )
    return table.with_columns(embedding=pl.when(pl.col("image_id") != "05.jpg").then("embedding")), group


def clumps():
    """Dense groups of twelve, seven and four faces, and a few between them."""
    rng = np.random.default_rng(9)
    centres = np.repeat([[0, 0, 0], [9, 0, 0], [0, 9, 0]], (12, 7, 4), axis=0)
    x = np.vstack([centres + rng.uniform(-0.5, 0.5, centres.shape), rng.uniform(-30, 30, (5, 3))])
    ids = pl.int_range(len(x), eager=True).cast(pl.String)
    return pl.DataFrame(
        {"image_id": ids, "embedding": pl.Series(x.astype(np.float32), dtype=pl.Array(pl.Float32, 3))}
    )


def crowd(n):
    """Faces that lie evenly, so that the clusters tell how they were looked for."""
    x = (np.random.default_rng(0).random((n, 2)) * [1.3, 1]).astype(np.float32)
    ids = pl.int_range(n, eager=True).cast(pl.String)
    return pl.DataFrame({"image_id": ids, "embedding": pl.Series(x, dtype=pl.Array(pl.Float32, 2))})


def sizes(table):
    """Faces in each of three clusters; not whole numbers, since a face on the border may go to either."""
    found = fs.cluster_faces(table, n_clusters=3, seed=1)["cluster"]
    return found.value_counts().sort("cluster")["count"].cast(pl.Float64)


def known(table, group):
    """What else is known of the rows: columns that follow the groups more or less, and numbers."""
    rng = np.random.default_rng(8)
    near = np.where(rng.random(N) < 0.75, group, rng.integers(0, 3, N))
    loose = np.where(rng.random(N) < 0.3, group, rng.integers(0, 3, N))
    return table.select("image_id").with_columns(
        hair_color=pl.Series(np.array(["black", "red", "brown"])[near]),
        gender=pl.Series(np.array(["male", "female", "female"])[loose]),
        glasses=pl.Series([None if i % 11 == 0 else "no" if i % 7 else "yes" for i in range(N)]),
        age=pl.Series(20 + 12 * near + rng.integers(0, 25, N)),
        twelfth=pl.Series(near + 3 * rng.integers(0, 4, N)),
        thirteenth=pl.Series((5 * near + np.arange(N) % 5) % 13),
        smile=pl.Series(["yes" if i % 4 == 0 or (group[i] == 2 and i % 3 == 1) else "no" for i in range(N)]),
        same=pl.lit("all"),
    )


def outliers():
    """How many of 3,000 faces with distances of a long tail are called outliers."""
    rng = np.random.default_rng(12)
    points = rng.normal(size=(3000, 6)) * rng.gamma(2, 1, size=(3000, 1))
    ids = [f"{i:04d}" for i in range(3000)]
    table = pl.DataFrame({"image_id": ids, "embedding": pl.Series(points, dtype=pl.Array(pl.Float32, 6))})
    one = table.select("image_id", cluster=pl.lit(0, dtype=pl.Int32))
    return int(fs.clusters.members(table, one)["outlier"].sum())


def test_the_golden_values_of_clusters():
    table, group = world()
    found = fs.cluster_faces(table, n_clusters=3, seed=1)
    dense = fs.cluster_faces(clumps(), seed=1, method="hdbscan", min_cluster_size=4)
    joined = found.join(known(table, group), on="image_id")
    columns = ["hair_color", "gender", "glasses", "smile", "twelfth"]
    profile = fs.clusters.profile(joined, columns)
    check_golden(
        "clusters",
        clusters.VERSION,
        {
            "kmeans": found["cluster"],
            "kmeans_whole": fs.cluster_faces(table, n_clusters=6, seed=3, column="embedding_full")["cluster"],
            "hdbscan": dense["cluster"],
            "most_at_once": sizes(crowd(50_000)),
            "in_batches": sizes(crowd(50_001)),
            "not_compared": fs.clusters.near_duplicates(crowd(50_001), column="embedding")[
                "duplicate_of"
            ].null_count(),
            "pca": fs.clusters.project_pca(table),
            # too few faces for UMAP are laid out by PCA; still fewer are not
            "nine": fs.map_faces(table.tail(9), n_clusters=2, seed=0),
            "three": fs.map_faces(table.tail(3), n_clusters=9, seed=0).select("cluster", "pca_x"),
            "two": fs.map_faces(table.tail(2), n_clusters=2, seed=0),
            "stability": fs.clusters.stability(table, n_clusters=(2, 3, 4, 44, 45), n_resamples=6, seed=2),
            "stability_whole": fs.clusters.stability(
                table, n_clusters=(2, 3, 4, 5, 6, 7), n_resamples=4, seed=2, column="embedding_full"
            ),
            "members": fs.clusters.members(table, found),
            "outliers": outliers(),
            "duplicates": fs.clusters.near_duplicates(table)["duplicate_of"],
            "chains": fs.clusters.near_duplicates(table, min_cosine=0.6)["duplicate_of"],
            "profile": profile,
            "names": fs.clusters.names(profile),
            "long_names": fs.clusters.names(profile, n_labels=5)["cluster_name"],
            "relations": fs.clusters.relations(
                joined, [*columns, "age", "thirteenth", "same"], n_permutations=40, seed=4
            ),
        },
    )
