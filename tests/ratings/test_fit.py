from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats.core.config import RatingsSettings
from facestats.core.protocols import ModelError
from facestats.core.tables import RATINGS
from facestats.demo.raters import simulate_ratings
from facestats.demo.records import sample_records
from tests.conftest import DATA

PLAIN = RatingsSettings(n_shape=0, columns=("embedding",), n_folds=5)
needs_3dsk = pytest.mark.skipif(not (DATA / "3dsk").is_dir(), reason=f"the 3DSK face set is not in {DATA}")


def long(found):
    return pl.DataFrame(
        {
            "image_id": [f"{i:04d}.jpg" for i in found.item],
            "rater_id": [f"rater_{j:02d}" for j in found.rater],
            "rating": found.rating,
        }
    )


@pytest.fixture(scope="module")
def simulated():
    return simulate_ratings(sample_records(240, seed=1), seed=1, share=0.6)


@pytest.fixture(scope="module")
def ratings(simulated):
    return fs.ratings.read(long(simulated))


@pytest.fixture(scope="module")
def embeddings(simulated):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 16))
    x[:, 0] += 3 * (simulated.score - simulated.score.mean())
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    ids = [f"{i:04d}.jpg" for i in range(240)]
    return pl.DataFrame({"image_id": ids, "embedding": pl.Series(x, dtype=pl.Array(pl.Float32, 16))})


@pytest.fixture(scope="module")
def fit(embeddings, ratings):
    return fs.fit_ratings(embeddings, ratings, fs.models.ridge(), encoder="clip@1 fp32", settings=PLAIN)


def values(table):
    return {row["measure"]: row for row in table.iter_rows(named=True)}


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
    assert "attractiveness: the raters fall into 2 panels that share no face: 5 raters of" in caplog.text
    caplog.clear()
    fs.ratings.average(ratings)
    assert not caplog.text


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


def test_a_saved_model_says_the_same_and_refuses_other_encoders(fit, embeddings, tmp_path):
    fit.model.save(tmp_path)
    again = fs.ratings.load_model(tmp_path, encoder="clip@1 bf16")
    assert again.name == fit.model.name
    assert fs.ratings.rate_faces(embeddings, again).equals(fs.ratings.rate_faces(embeddings, fit.model))
    with pytest.raises(ModelError, match="reads vectors of 'clip@1 fp32', but these are of 'clip@2 fp32'"):
        fs.ratings.load_model(tmp_path, encoder="clip@2 fp32")
    spec = json.loads((tmp_path / "model.json").read_text())
    assert {"encoder", "dims", "trait", "unit", "scale", "reference_distances"} <= set(spec)
    (tmp_path / "model.json").write_text(json.dumps(spec | {"trait": "wealth"}))
    with pytest.raises(ModelError, match="do not belong together"):
        fs.ratings.load_model(tmp_path, encoder="clip@1 fp32")


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"kind": "facestats ratings model 1"}'])
def test_a_damaged_model_is_a_sentence(fit, tmp_path, damage):
    fit.model.save(tmp_path)
    (tmp_path / "model.json").write_bytes(damage)
    with pytest.raises(ModelError, match=r"cannot be read|describes None"):
        fs.ratings.load_model(tmp_path, encoder="clip@1 fp32")


def test_vectors_of_another_dimension_are_refused(fit, embeddings):
    wide = embeddings.with_columns(embedding=pl.Series(np.ones((240, 3)), dtype=pl.Array(pl.Float32, 3)))
    with pytest.raises(fs.tables.TableError, match="reads 16 dimensions"):
        fs.ratings.rate_faces(wide, fit.model)


def test_a_lazy_table_gives_the_same_model(fit, embeddings, ratings):
    lazy = fs.fit_ratings(
        embeddings.lazy(), ratings, fs.models.ridge(), encoder="clip@1 fp32", settings=PLAIN
    )
    assert lazy.model.name == fit.model.name
    with pytest.raises(fs.tables.TableError, match="no column \\['embedding', "):
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


def test_people_are_asked_for_by_the_name_of_their_column(tmp_path):
    assert fs.inputs.read_people(tmp_path, None).columns == ["image_id"]
    with pytest.raises(
        fs.tables.TableError, match=r"no column 'who' that names the person; it has no such file"
    ):
        fs.inputs.read_people(tmp_path, "who")
    (tmp_path / "metadata.csv").write_text("file_name,name\na.jpg,x\na.jpg,y\n")
    with pytest.raises(fs.tables.TableError, match=r"no column 'who'.*it has \['name'\].*ratings.person"):
        fs.inputs.read_people(tmp_path, "who")
    with pytest.raises(fs.tables.TableError, match=r"names 'a.jpg' twice"):
        fs.inputs.read_people(tmp_path, "name")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"att_score": 1.0}, r"columns \['att_score'\].*never trained"),
        ({"rating_sd": 1.0}, "never trained on a model's output"),
        ({"rater_id": "CLIP ViT-B/32"}, "rater 'CLIP ViT-B/32' is named like a model"),
        ({"rater_id": "gpt-4o"}, "named like a model"),
        ({"rater_id": "some-lab/beauty"}, "named like a model"),
        ({"rater_id": None}, "no usable rater_id"),
        ({"rating": "nice"}, "no usable rating"),
    ],
)
def test_what_a_model_said_is_refused(ratings, change, message):
    with pytest.raises(fs.tables.TableError, match=message):
        fs.ratings.read(ratings.with_columns(**{k: pl.lit(v) for k, v in change.items()}))


def test_people_with_names_like_words_of_models_may_rate(ratings):
    for name in ("Clippy Aiken", "R0001", "Vita", "rater_07"):
        renamed = ratings.with_columns(
            rater_id=pl.when(pl.col("rater_id") == "rater_00").then(pl.lit(name)).otherwise("rater_id")
        )
        if name != "rater_07":
            assert name in fs.ratings.read(renamed)["rater_id"].to_list()


def test_tables_of_this_package_are_no_ratings(fit, embeddings, tmp_path):
    store = fs.Store(tmp_path)
    path = store.write("ratings", fs.ratings.rate_faces(embeddings, fit.model))
    with pytest.raises(fs.tables.TableError, match="a table that this package made"):
        fs.ratings.read(path)


def test_repeats_and_missing_columns_are_named(ratings):
    with pytest.raises(fs.tables.TableError, match=r"rates '0000.jpg' twice"):
        fs.ratings.read(pl.concat([ratings, ratings.head(1)]))
    with pytest.raises(fs.tables.TableError, match=r"no column \['rater_id'\]"):
        fs.ratings.read(ratings.drop("rater_id"))


def test_too_few_rated_faces_are_refused(embeddings, ratings):
    with pytest.raises(ValueError, match="10 rated faces have"):
        fs.fit_ratings(embeddings.head(10), ratings, fs.models.ridge(), encoder="x", settings=PLAIN)
