from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats.core.tables import RATINGS
from facestats.ratings.model import RatingsModels
from facestats.store.fingerprint import describe_stage
from tests.ratings.conftest import PLAIN, values

ROOT = Path(__file__).parents[2]


def test_held_out_predictions_lie_between_one_rater_and_the_ceiling(fit):
    found = {k: v["value"] for k, v in values(fit.skill).items()}
    assert found["single_rater"] < found["r"] < found["ceiling"]
    inside = fit.held_out["rating"].is_between(fit.held_out["low"], fit.held_out["high"]).mean()
    assert inside == pytest.approx(0.9, abs=0.03)


def test_every_row_gets_a_score_or_null(fit, embeddings):
    nobody = pl.DataFrame({"image_id": ["nobody.jpg"], "embedding": [None]}, schema=embeddings.schema)
    scores = fs.ratings.rate_faces(pl.concat([nobody, embeddings]), fit.model)
    fs.tables.check_table(scores, RATINGS)
    assert scores["image_id"].to_list() == ["nobody.jpg", *embeddings["image_id"]]
    assert scores.row(0)[1:] == (None,) * 5
    assert scores["attractiveness_ood"].mean() < 0.05
    assert (scores["attractiveness_low"].drop_nulls() <= scores["attractiveness"].drop_nulls()).all()


def test_strange_vectors_are_flagged(fit, embeddings):
    strange = -np.abs(np.random.default_rng(0).normal(size=(20, 16))) * np.r_[5, np.ones(15)]
    rows = embeddings.head(20).with_columns(embedding=pl.Series(strange, dtype=pl.Array(pl.Float32, 16)))
    assert fs.ratings.rate_faces(rows, fit.model)["attractiveness_ood"].mean() > 0.8


def test_vectors_of_another_dimension_are_refused(fit, embeddings):
    wide = embeddings.with_columns(embedding=pl.Series(np.ones((240, 3)), dtype=pl.Array(pl.Float32, 3)))
    with pytest.raises(fs.tables.TableError, match="reads 16 dimensions"):
        fs.ratings.rate_faces(wide, fit.model)


def test_a_lazy_table_gives_the_same_model(fit, embeddings, ratings):
    lazy = fs.fit_ratings(
        embeddings.lazy(), ratings, fs.models.ridge(), encoder="clip@1 fp32", settings=PLAIN
    )
    assert lazy.model.name == fit.model.name
    with pytest.raises(fs.tables.TableError, match="no column 'embedding', "):
        fs.fit_ratings(embeddings.lazy().select("image_id"), ratings, fs.models.ridge(), encoder="clip@1")


def test_shapes_take_part_and_are_asked_for(simulated, embeddings, ratings):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(1, 478, 2)) + rng.normal(0, 0.01, (240, 478, 2))
    points[:, 0, 1] += 0.5 * (simulated.score - 4)
    rows = embeddings.with_columns(landmarks=pl.Series(points, dtype=pl.Array(pl.Float32, (478, 2))))
    chosen = PLAIN.model_copy(update={"n_shape": 5})
    with_shape = fs.fit_ratings(rows, ratings, fs.models.ridge(), encoder="clip@1", settings=chosen)
    assert with_shape.model.needs_landmarks
    assert values(with_shape.skill)["r"]["value"] > 0.6
    with pytest.raises(fs.tables.TableError, match="landmarks"):
        fs.ratings.rate_faces(embeddings, with_shape.model)


def test_predictions_that_are_the_training_mean_have_neither_r_nor_skill(embeddings, ratings):
    class Nothing:
        name = "nothing"

        def fit(self, features, target, *, groups, seed):
            return [(np.zeros((features.shape[1], 1)), np.array([target.mean()]))]

    fit = fs.fit_ratings(embeddings, ratings, Nothing(), encoder="clip@1", settings=PLAIN)
    assert fit.held_out["predicted"].to_numpy() == pytest.approx(fit.held_out["baseline"].to_numpy())
    found = {k: v["value"] for k, v in values(fit.skill).items()}
    assert (found["r"], found["skill"]) == (0, pytest.approx(0))
    half = fit.held_out.with_columns(half=pl.Series(["a", "b"] * 120))
    assert fs.ratings.residuals(half, "half")["r"].to_list() == [0, 0]


def test_residuals_of_a_group_rated_too_low_are_above_zero(fit):
    half = pl.Series("half", ["a", "b"] * 120)
    shifted = fit.held_out.with_columns(half).with_columns(
        residual=pl.col("residual") + pl.when(pl.col("half") == "a").then(0.5).otherwise(0)
    )
    found = fs.ratings.residuals(shifted, "half")
    assert found["group"].to_list() == ["a", "b"]
    assert found["low"][0] > 0.2
    assert found["low"][1] < 0 < found["high"][1]


def test_pictures_of_one_person_stay_in_one_fold(embeddings, ratings, tmp_path):
    ids = embeddings["image_id"]
    names = pl.Series("who", [f"p{i // 3}" for i in range(234)] + [""] * 6)
    pl.DataFrame({"file_name": ids}).with_columns(names).write_csv(tmp_path / "metadata.csv")
    people = fs.inputs.read_people(tmp_path, "who")
    assert people["who"].null_count() == 6
    known = embeddings.join(people, on="image_id", how="left", validate="1:1")
    chosen = PLAIN.model_copy(update={"person": "who"})
    fit = fs.fit_ratings(known, ratings, fs.models.ridge(), encoder="clip@1", settings=chosen)
    per_person = fit.held_out.join(people, on="image_id").drop_nulls("who").group_by("who")
    assert per_person.agg(pl.col("fold").n_unique())["fold"].max() == 1
    with pytest.raises(fs.tables.TableError, match=r"'who'.*fs.inputs.read_people from metadata.csv"):
        fs.fit_ratings(embeddings, ratings, fs.models.ridge(), encoder="clip@1", settings=chosen)


def test_too_few_rated_faces_are_refused(embeddings, ratings):
    with pytest.raises(ValueError, match="Only 10 of 240 rated faces have all of embedding.*; 20 are needed"):
        fs.fit_ratings(embeddings.head(10), ratings, fs.models.ridge(), encoder="x", settings=PLAIN)


def test_a_fit_prints_its_skill_on_one_line(fit):
    found = values(fit.skill)
    r, ceiling = found["r"], found["ceiling"]["value"]
    interval = f"[{r['low']:.2f}, {r['high']:.2f}]"
    assert repr(fit) == (
        f"RatingsFit(attractiveness, 240 faces, held-out r {r['value']:.2f} {interval}, ceiling {ceiling:.2f})"
    )


def test_fitting_leaves_numpy_and_warnings_as_they_were(embeddings, ratings):
    fs.fit_ratings(embeddings, ratings, fs.models.ridge(), encoder="clip@1", settings=PLAIN)  # imports
    before = np.geterr(), list(warnings.filters)
    fs.fit_ratings(embeddings, ratings, fs.models.ridge(), encoder="clip@1", settings=PLAIN)
    fs.ratings.reliability(ratings, n_splits=5, n_resamples=5)
    assert (np.geterr(), list(warnings.filters)) == before


def test_models_of_several_traits_are_applied_together_as_each_alone(fit, embeddings, tmp_path):
    kind = dataclasses.replace(fit.model, trait="kind", scale=(2.0, 5.0))
    for model in (fit.model, kind):
        model.save(tmp_path / model.trait)
    both = fs.ratings.load_models(tmp_path, ["attractiveness", "kind"], encoder="clip@1 bf16")
    rated = fs.ratings.rate_faces(embeddings, both)
    alone = [fs.ratings.rate_faces(embeddings, model) for model in (fit.model, kind)]
    assert rated.equals(alone[0].join(alone[1], on="image_id", maintain_order="left"))
    assert both.name == f"{fit.model.name} + {kind.name}"
    one = fs.ratings.load_models(tmp_path, ["kind"], encoder="clip@1")
    assert describe_stage(fs.ratings.rate_faces, {"model": one}) == describe_stage(
        fs.ratings.rate_faces, {"model": kind}
    )
    with pytest.raises(fs.tables.TableError, match="two models would both write the column 'kind'"):
        fs.ratings.rate_faces(embeddings, RatingsModels((kind, kind)))


@pytest.mark.parametrize(("low", "refused"), [(0.01, False), (0.0, True), (-0.2, True), (float("nan"), True)])
def test_a_model_is_refused_unless_the_whole_interval_of_its_skill_is_above_zero(fit, low, refused):
    skill = pl.DataFrame({"measure": ["skill"], "value": [0.1], "low": [low], "high": [0.3]})
    found = dataclasses.replace(fit, skill=skill).refusal
    assert bool(found) == refused
    assert not refused or found.startswith(
        "The model is not shown to be better than the mean rating: skill 0.10 ["
    )


def test_a_choice_of_traits_or_another_place_of_the_file_changes_no_fit():
    cfg = fs.load_config(ROOT / "config/demo.yaml")
    moved = cfg.ratings.model_copy(update={"traits": ("a",), "file": Path("other.csv")})
    assert fs.ratings.settings(cfg) == fs.ratings.settings(cfg.model_copy(update={"ratings": moved}))


def test_known_truth_comes_before_perceived_groups():
    held_out = pl.DataFrame(
        {"age": ["teen"], "gender": ["male"], "true_gender": ["female"], "true_age": [None]}
    )
    assert fs.ratings.group_column(held_out, ["age", "gender"]) == "true_gender"
    assert fs.ratings.group_column(held_out.drop("true_gender"), ["age", "gender"]) == "age"
    assert fs.ratings.group_column(held_out, ["hat"]) is None


def test_every_rated_face_has_its_mean_and_its_held_out_prediction(fit, ratings):
    (trait,) = ratings["trait"].unique() if "trait" in ratings.columns else ("attractiveness",)
    table = fs.ratings.tabulate_faces(fs.ratings.read(ratings), {trait: fit})
    both = table.join(fit.held_out, on="image_id")
    assert table.height == fit.held_out.height
    assert both[f"{trait}_predicted"].to_list() == both["predicted"].to_list()
    assert both[f"{trait}_rating"].to_list() == pytest.approx(both["rating"].to_list())
    gap = both[f"{trait}_rating"] - both[f"{trait}_predicted"] - both[f"{trait}_residual"]
    assert gap.abs().max() < 1e-9
    assert table[f"{trait}_n"].min() >= 1
