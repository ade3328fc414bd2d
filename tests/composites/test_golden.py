from __future__ import annotations

import json

import numpy as np
import polars as pl
from PIL import Image

import facestats as fs
from facestats import composites
from facestats.composites.warp import LEFT, LIP_PAIRS, MIDLINE, RIGHT, build_mesh, unfold
from facestats.core.tables import N_LANDMARKS
from tests.golden import block_means, check_golden, error_of

N, SIDE = 22, 64
LONG = {"gender": "female", "age": (20, 90), "weight": (0, 9.5), "hair": ["black"], "crop": ["0.png"]}
SPOTS = {
    33: 9,
    263: 9,
    1: 5,
    61: 4,
    291: 4,
    468: 2,
    473: 2,
    13: 3,
}  # what is drawn at which landmark, and how wide


def draw(folder):
    """Faces with spots at their landmarks, which differ from face to face; some landmarks fold the mesh."""
    rng = np.random.default_rng(11)
    base = rng.uniform((10, 8), (30, 58), size=(N_LANDMARKS, 2))
    base[list(MIDLINE)] = np.column_stack([np.full(len(MIDLINE), 31.5), np.linspace(6, 58, len(MIDLINE))])
    base[[33, 133, 468, 61]] = (18, 28), (26, 28), (22, 28), (24, 48)
    for i, (upper, lower) in enumerate(LIP_PAIRS[:5]):
        base[upper], base[lower] = (31.5 - 1.5 * i, 47.9 + i / 9), (31.5 - 1.5 * i, 48.1 - i / 9)
    base[list(RIGHT)] = base[list(LEFT)] * [-1, 1] + [SIDE - 1, 0]
    male = np.arange(N) % 2
    shapes = base + rng.normal(0, 0.5, (N, N_LANDMARKS, 2)) + (base - 32) * rng.normal(0, 0.06, (N, 1, 2))
    shapes += rng.normal(0, 2.5, (N, 1, 2)) + male[:, None, None] * [0.0, 1.5]
    y, x = np.mgrid[:SIDE, :SIDE]
    for i, points in enumerate(shapes):
        pixels = np.stack(
            [205 - 45 * male[i] - k * x / 4 + (i % 5) * 9 - 30 * (y > 55) for k in range(3)], axis=-1
        )
        for spot, wide in SPOTS.items():
            away = (x - points[spot, 0]) ** 2 + (y - points[spot, 1]) ** 2
            pixels -= [90, 110, 70] * np.exp(-away / wide)[..., None]
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
    # the pictures that the crops come from are twice as large, and lie elsewhere
    landmarks = (2 * shapes + 10).astype(np.float32)
    matrix = np.tile(np.array([[0.5, 0, -5], [0, 0.5, -5]]), (N, 1, 1))
    known = pl.arange(0, N, eager=True)
    return pl.DataFrame(
        {
            "image_id": [f"p{i}.jpg" for i in range(N)],
            "crop": [f"{i}.png" for i in range(N)],
            "landmarks": pl.Series(landmarks, dtype=pl.Array(pl.Float32, (N_LANDMARKS, 2))),
            "matrix": pl.Series(matrix, dtype=pl.Array(pl.Float64, (2, 3))),
            "gender": ["female", "male"] * (N // 2),
            "age": range(20, 20 + N),
            "hair": ["black", "red", "brown", None, "black"] * 4 + ["red"] * 2,
            "weight": known / 7 + 0.1,
        }
    ).with_columns(landmarks=pl.when(known != 3).then("landmarks"), crop=pl.when(known != 4).then("crop"))


def summary(face):
    """Numbers of a composite, on a coarse grid."""
    return {
        "pixels": block_means(face.pixels),
        "sd": block_means(face.sd),
        "shape": None if face.shape is None else face.shape[::8],
        "weights": face.weights,
        "caption": face.caption,
        # the logarithm bears that processors round grey levels apart
        "sharpness": np.log(face.sharpness),
    }


def test_the_golden_values_of_composites(tmp_path):
    faces = draw(tmp_path)
    made = {
        "mean": fs.average_faces(faces, tmp_path),
        "single": fs.average_faces(faces.head(1), tmp_path, min_faces=1, where=LONG),
        "warp": fs.average_faces(faces, tmp_path, method="warp", where={"gender": "female"}),
        "weighted": fs.average_faces(faces, tmp_path, method="warp", weights="weight"),
        "relaxed": fs.average_faces(
            faces,
            tmp_path,
            where={"gender": "male", "age": (22, 30), "hair": ["black", "red"], "weight": (None, 3)},
            relax=["hair", "age"],
        ),
    }
    men = fs.average_faces(faces, tmp_path, method="warp", where={"gender": "male"})
    made["morph"] = fs.composites.morph(made["warp"], men, share=0.3)
    made["caricature"] = fs.composites.morph(made["warp"], men, share=-0.4)
    made["symmetric"] = fs.composites.mirror(made["weighted"])
    difference = fs.composites.difference(
        faces, tmp_path, by="gender", groups=("female", "male"), n_resamples=39, seed=1
    )
    plain = fs.composites.difference(
        faces,
        tmp_path,
        by="hair",
        groups=("red", "black"),
        method="mean",
        n_resamples=19,
        min_faces=4,
        seed=2,
    )
    walks = fs.composites.eigenfaces(faces, tmp_path, n_components=3, side=24)
    # more than two blocks of faces, the same ones over again
    many = (
        pl.concat([faces.drop_nulls()] * 40)
        .sort("age")
        .with_columns(image_id=pl.int_range(pl.len()).cast(pl.String))
    )
    blocks = fs.composites.eigenfaces(
        many, tmp_path, n_components=2, side=8, method="mean", where={"age": (21, None)}
    )
    target = men.shape
    folded = np.vstack(
        [
            target + np.random.default_rng(5).normal(0, 3, target.shape),
            build_mesh(target, (SIDE, SIDE)).vertices[len(target) :],
        ]
    )
    check_golden(
        "composites",
        composites.VERSION,
        {name: summary(face) for name, face in made.items()}
        | {
            f"{name}_difference": {
                "difference": block_means(found.difference),
                "t": block_means(found.t),
                "p": block_means(found.p, 2),
                "significant": block_means(found.significant, 2),
                "image": block_means(found.image, 4),
                "counts": found.counts,
            }
            for name, found in {"warp": difference, "mean": plain}.items()
        }
        | {
            "eigenfaces": {
                "mean": block_means(walks.mean, 4),
                "sd": walks.sd,
                "explained": walks.explained,
                "walks": [block_means(step, 4) for step in walks.walk(1)],
                "image": block_means(walks.image, 6),
                "blocks": [*blocks.sd, *blocks.explained],
            },
            "sharpness_ratio": float(np.log(fs.composites.sharpness_ratio(made["warp"], made["mean"]))),
            "unfolded": unfold(folded, build_mesh(target, (SIDE, SIDE)))[::9],
            "composites": fs.composites.tabulate(
                made | {"difference": difference, "eigenfaces": walks}
            ).select(
                "composite",
                "method",
                "n",
                "where",
                pl.col("weights").list.first(),
                last_weight=pl.col("weights").list.last(),
                excluded=pl.col("settings").map_elements(excluded, return_dtype=pl.String),
            ),
            "groups": [fs.composites.groups(faces, "hair", min_faces=5), fs.composites.groups(faces, "hair")],
            "selected": fs.composites.select(faces, age=(28, 33), hair=None)["image_id"],
            "too_few": error_of(fs.average_faces, faces, tmp_path, where={"gender": "male", "hair": "brown"}),
        },
    )


def excluded(settings):
    return str(json.loads(settings).get("excluded"))
