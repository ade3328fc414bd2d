from __future__ import annotations

import numpy as np
import polars as pl

import facestats as fs
from facestats import ratings
from facestats.core.config import RatingsSettings
from facestats.core.tables import N_LANDMARKS
from facestats.ratings.procrustes import align_shapes
from facestats.ratings.regression import fit_features
from tests.golden import check_golden, error_of

N, DIM, RATERS = 64, 10, 7
SETTINGS = RatingsSettings(n_shape=3, n_folds=4, person="who", level=0.85)


def world():
    """Vectors, landmarks and persons; ratings follow the first dimensions."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(N, DIM))
    whole = rng.normal(size=(N, 6)) + x[:, :6] / 2
    for i in range(8):  # two almost the same pictures each, one pair nearer than 0.98, the next less so
        step = rng.normal(size=6)
        step -= (step @ whole[i]) * whole[i] / (whole[i] @ whole[i])
        cosine = (0.985, 0.975)[i % 2]
        turned = whole[i] / np.linalg.norm(whole[i]) * cosine + step / np.linalg.norm(step) * np.sqrt(
            1 - cosine**2
        )
        whole[N - 1 - i] = turned
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    base = rng.normal(size=(N_LANDMARKS, 2))
    shapes = base * (1 + 0.1 * x[:, :1, None]) + 0.05 * x[:, 1, None, None] * base[:, ::-1]
    shapes = 100 * (shapes + 0.02 * rng.normal(size=shapes.shape)) + 300
    faces = pl.DataFrame(
        {
            "image_id": [f"{i:02d}.jpg" for i in range(N)],
            "embedding": pl.Series(x.astype(np.float32), dtype=pl.Array(pl.Float32, DIM)),
            "embedding_full": pl.Series(whole.astype(np.float32), dtype=pl.Array(pl.Float32, 6)),
            "landmarks": pl.Series(shapes.astype(np.float32), dtype=pl.Array(pl.Float32, (N_LANDMARKS, 2))),
            "who": [f"p{i // 3}" if i < 20 else None for i in range(N)],
        }
    )
    score = 4 + x[:, 0] - 0.6 * x[:, 1] + 0.5 * np.tanh(x[:, 2])
    severity = rng.normal(0, 0.6, RATERS)
    return faces, score[:, None] + severity + rng.normal(0, 0.9, (N, RATERS))


def panel(values, trait, seen):
    """Ratings in long form of the cells that were `seen`, on a scale from 1 to 7."""
    rows = [
        (f"{i:02d}.jpg", f"rater {j}", trait, float(np.clip(np.rint(values[i, j]), 1, 7)))
        for i, j in zip(*np.nonzero(seen), strict=True)
    ]
    return pl.DataFrame(rows, schema=["image_id", "rater_id", "trait", "rating"], orient="row")


def panels(values):
    """Four traits: raters who agree; two panels that share no face; raters of mere noise; and few raters of many faces."""
    rng = np.random.default_rng(4)
    seen = rng.random(values.shape) < 0.7
    seen[:, 0] = True
    apart = np.zeros_like(seen)
    apart[:12, :3] = apart[12:24, 3:6] = True
    apart[5, 1] = False
    noise = rng.normal(4, 1.5, values.shape)
    noise -= 0.05 * (noise.mean(axis=1, keepdims=True) - 4)  # one resample in 25 has no variance of faces
    noise[:, 6] = 4  # never varies
    few = np.zeros_like(seen)
    few[:30, :4] = rng.random((30, 4)) < 0.8
    few[30, 0] = few[31, 1] = few[0, 4] = True
    few[1:4, 5] = few[7:9, 6] = True
    return pl.concat(
        [
            panel(values, "charm", seen),
            panel(values, "apart", apart),
            panel(noise, "noise", np.arange(N)[:, None] < np.full(RATERS, 15)),
            panel(values * 1.5 - 2, "few", few),
        ]
    )


def new_faces(faces):
    """Faces as they were, faces far from all others, and one without a vector."""
    far = faces.head(4).with_columns(
        pl.Series(
            "embedding",
            faces["embedding"][:4].to_numpy() * np.array([[1.0], [2], [4], [9]]),
            dtype=pl.Array(pl.Float32, DIM),
        ),
        image_id=pl.format("far {}", "image_id"),
    )
    lost = faces.tail(1).with_columns(
        image_id=pl.lit("lost"), embedding=pl.lit(None, dtype=faces.schema["embedding"])
    )
    return pl.concat([faces[20:36], far, lost])


def shifted(faces, by):
    """Vectors moved away from the training faces, step by step."""
    moved = pl.Series(faces["embedding"].to_numpy() + by, dtype=faces.schema["embedding"])
    return faces.with_columns(embedding=moved)


def test_the_golden_values_of_ratings():
    faces, values = world()
    given = fs.ratings.read(panels(values))
    charm = given.filter(trait="charm")
    regressor = fs.models.ridge(alphas=(0.1, 1, 30))
    fit = fs.fit_ratings(faces, charm, regressor, encoder="clip@1", settings=SETTINGS, seed=2)
    groups = pl.DataFrame(
        {
            "image_id": faces["image_id"],
            "group": [("a", "b", "c", "d")[min(i % 5, 3)] if i < 61 else "e" for i in range(N)],
        }
    )
    profiled = fit.held_out.join(groups, on="image_id")
    rng = np.random.default_rng(6)
    wide = {"embedding": rng.normal(size=(280, 60)) * np.geomspace(1, 0.3, 60)}
    features = fit_features(wide, n_shape=0)
    check_golden(
        "ratings",
        ratings.VERSION,
        {
            "reliability": fs.ratings.reliability(given, n_splits=30, n_resamples=25, seed=1),
            "raters": fs.ratings.rater_effects(given),
            "means": fs.ratings.average(given, trait="charm"),
            "means_apart": fs.ratings.average(given, trait="apart"),
            "held_out": fit.held_out,
            "scores": fit.skill,
            "model": {
                "spread": fit.model.spread,
                "width": fit.model.width,
                "scale": fit.model.scale,
                "reference": fit.model.reference,
            },
            "unlike_the_training_faces": [
                int(fs.ratings.rate_faces(shifted(faces, by), fit.model)["charm_ood"].sum())
                for by in np.linspace(0, 2, 41)
            ],
            "rated": fs.ratings.rate_faces(new_faces(faces), fit.model),
            "residuals": fs.ratings.residuals(profiled, "group"),
            "distances": features.distance(features.apply(wide))[::10],
            "slow_shapes": align_shapes(rng.normal(size=(9, 5, 2)))[1],
            "too_few": error_of(
                fs.fit_ratings, faces.head(19), charm, regressor, encoder="clip@1", settings=SETTINGS
            ),
            "just_enough": fs.fit_ratings(
                faces.head(20),
                charm,
                fs.models.ridge(),
                encoder="clip@1",
                settings=SETTINGS.model_copy(update={"n_shape": 0, "person": None, "n_folds": 2}),
            ).skill,
        },
    )
