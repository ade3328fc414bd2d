from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats.demo.raters import simulate_ratings
from facestats.demo.records import sample_records
from tests.conftest import DATA
from tests.ratings.conftest import long, values

needs_3dsk = pytest.mark.skipif(not (DATA / "3dsk").is_dir(), reason=f"the 3DSK face set is not in {DATA}")


@pytest.mark.slow
def test_the_ceiling_is_that_of_the_simulation(simulated, ratings):
    found = values(fs.ratings.reliability(ratings, n_resamples=200))["ceiling"]
    means = fs.ratings.average(ratings).sort("image_id")["rating"].to_numpy()
    assert found["low"] <= np.corrcoef(means, simulated.score)[0, 1] <= found["high"]


@pytest.mark.slow
def test_rater_effects_are_those_of_the_simulation():
    # the truth of each rater: the same panel on very many faces
    records = sample_records(12_000, seed=3)
    every = fs.ratings.rater_effects(fs.ratings.read(long(simulate_ratings(records, seed=5, share=0.6))))
    some = fs.ratings.rater_effects(fs.ratings.read(long(simulate_ratings(records[:240], seed=5, share=0.6))))
    for column in ("severity", "agreement"):
        inside = every[column].is_between(some[f"{column}_low"], some[f"{column}_high"])
        assert inside.sum() >= 10, column  # of 12 intervals of 95 %


@needs_3dsk
@pytest.mark.parametrize(("gender", "one", "halves"), [("female", 0.54, 0.977), ("male", 0.53, 0.976)])
def test_reliability_of_real_faces(gender, one, halves):
    raw = pl.read_parquet(DATA / "3dsk/raters.parquet").filter(face_gender=gender, trait="att")
    ratings = fs.ratings.read(raw.with_columns(image_id=pl.col("face_id")))
    found = values(fs.ratings.reliability(ratings, n_splits=300, n_resamples=5))
    assert round(found["single_rater"]["value"], 2) == one
    assert found["split_half"]["value"] == pytest.approx(halves, abs=0.001)


def test_panels_without_a_common_face_are_named_and_renaming_raters_changes_no_mean(ratings, caplog):
    first = pl.col("image_id") < "0120.jpg"
    apart = ratings.filter(first == (pl.col("rater_id") < "rater_05"))
    names = apart["rater_id"].unique().sort()
    other = apart.with_columns(rater_id=pl.col("rater_id").replace(names, names.shuffle(seed=1)))
    found, again = (fs.ratings.average(fs.ratings.read(frame)) for frame in (apart, other))
    assert found["rating"].to_numpy() == pytest.approx(again["rating"].to_numpy(), abs=1e-9)
    assert "attractiveness: the raters form 2 panels that share no face: 5 raters of" in caplog.text
    caplog.clear()
    fs.ratings.average(ratings)
    assert not caplog.text


def test_a_trait_that_was_not_rated_is_refused_with_those_that_were(ratings):
    with pytest.raises(ValueError, match=r"one of the rated traits \['attractiveness'\], got 'trust'"):
        fs.ratings.average(ratings, trait="trust")


@pytest.mark.parametrize("n_faces", [1, 2, 12])
@pytest.mark.parametrize("n_raters", [1, 2, 3])
@pytest.mark.parametrize("constant", [True, False])
def test_a_trait_with_too_few_ratings_has_null_where_nothing_can_be_said(n_faces, n_raters, constant):
    rows = [
        (f"{i}", f"r{j}", 4.0 if constant else (3 * i + j) % 7)
        for i in range(n_faces)
        for j in range(n_raters)
    ]
    ratings = fs.ratings.read(
        pl.DataFrame(
            rows, schema={"image_id": pl.String, "rater_id": pl.String, "rating": pl.Float64}, orient="row"
        )
    )
    found = fs.ratings.reliability(ratings, n_splits=5, n_resamples=5)
    assert found.select("n_faces", "n_raters").row(0) == (n_faces, n_raters)
    assert not found["value"].is_nan().any()
    if min(n_faces, n_raters) < 2 or constant:
        assert found["value"].null_count() == found.height
    effects = fs.ratings.rater_effects(ratings)
    assert (effects["severity_low"].null_count() == 1) == (n_raters == 1)
    fs.plots.reliability_bars(found).figure.canvas.draw()
    fs.plots.rater_bars(effects, "agreement").figure.canvas.draw()
    plt.close("all")
