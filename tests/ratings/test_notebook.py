"""The notebook of the ratings ends with a sentence, or predicts what can be predicted, whatever the ratings are like."""

import contextlib
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats.surfaces.notebooks.early_end import EarlyEnd
from facestats.surfaces.notebooks.expected_tables import expected_tables

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
N = 40
SETTINGS = """
data_dir: {folder}
attributes: {root}/config/attributes.yaml
embeddings: {{model: "local-dir:${{package}}/demo/clip"}}
text_labels: {{model: "${{package}}/demo/bart"}}
ratings: {{n_shape: 0, columns: [embedding], n_folds: 5, {more}}}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A function that runs the notebook on ratings: it returns the store and what was printed."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(N, 12)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [f"{i:02d}.jpg" for i in range(N)]
    store, config = fs.Store(tmp_path), tmp_path / "facestats.yaml"
    (tmp_path / "raw").mkdir()
    for name in ids:
        (tmp_path / "raw" / name).touch()
    write_tables(store, ids, vectors)

    def run(ratings, more=""):
        config.write_text(SETTINGS.format(folder=tmp_path, root=ROOT, more=more))
        file = tmp_path / "raw/ratings.csv"
        file.unlink(missing_ok=True)
        if ratings is not None:
            ratings.write_csv(file)
        monkeypatch.chdir(tmp_path)
        notebook, space = nbformat.read(ROOT / "notebooks/05_ratings.ipynb", as_version=4), {"display": print}
        with contextlib.suppress(EarlyEnd):
            for cell in notebook.cells:
                if cell.cell_type == "code":
                    exec(compile(cell.source, cell.id, "exec"), space)
                    plt.close("all")
        return store, fs.load_config(config)

    run.ids, run.vectors, run.folder = ids, vectors, tmp_path
    return run


def as_given(rows):
    """A stage that computes nothing."""
    return rows


def write_tables(store, ids, vectors):
    column = pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))
    faces = {c: pl.Series([None] * N, dtype=d) for c, d in fs.tables.FACES.columns.items()}
    kinds = {"status": fs.tables.STATUS, "error": pl.String}
    rows = pl.DataFrame({"image_id": ids, "embedding": column, "embedding_full": column})
    tables = {
        "faces": pl.DataFrame(faces).with_columns(image_id=pl.Series(ids)),
        "embeddings": rows.with_columns(pl.lit(None, dtype=d).alias(c) for c, d in kinds.items()),
        "attributes": pl.DataFrame({"image_id": ids, "gender": ["male", "female"] * (N // 2)}),
    }
    for name, table in tables.items():
        store.build(name, table, as_given, progress=False)


def rated(project, signal, *, trait="calm", n=N, n_raters=6, seed=0):
    """Ratings that follow the first dimension of the vectors, by raters who differ by noise."""
    rng = np.random.default_rng(seed)
    scores = 4 + signal * project.vectors[:n, 0] + 0.3 * rng.normal(size=n)
    rows = [
        (project.ids[i], f"r{j}", trait, round(float(scores[i] + rng.normal()), 3))
        for i in range(n)
        for j in range(n_raters)
    ]
    return pl.DataFrame(rows, schema=["image_id", "rater_id", "trait", "rating"], orient="row")


def test_every_trait_is_measured_and_those_that_can_be_predicted_are_applied(project, capsys):
    traits = {"Perceived age": 8, "kind/warm": 8, "noise": 0}
    ratings = pl.concat([rated(project, s, trait=t) for t, s in traits.items()])
    few = rated(project, 8, trait="schön", n=12)
    store, cfg = project(pl.concat([ratings, few]))
    table = store.read("reliability")
    assert table["trait"].to_list() == ["Perceived_age", "kind_warm", "noise", "schön"]
    assert table["n_ratings"].to_list() == [6 * N, 6 * N, 6 * N, 72]
    assert table["ceiling"].null_count() == 0
    assert table["model"].is_null().to_list() == [False, False, True, True]
    out = capsys.readouterr().out
    assert "noise is not predicted. The model is not shown to be better than the mean rating: skill" in out
    assert "schön is not predicted. Only 12 faces were rated; 20 are needed." in out
    columns = [
        f"{t}{e}" for t in ("Perceived_age", "kind_warm") for e in ("", "_sd", "_low", "_high", "_ood")
    ]
    assert store.read("ratings").columns == ["image_id", *columns]
    assert why_stale(store, cfg) == {"ratings": "", "reliability": ""}
    changed = pl.concat([ratings, few.with_columns(rating=pl.col("rating") + 1)])
    changed.write_csv(cfg.ratings_file)
    assert why_stale(store, cfg)["reliability"].startswith("params.ratings: ")


def why_stale(store, cfg):
    """What the status command says of the two tables, but for what they are made from."""
    (cfg.raw_dir / "00.jpg").touch()  # there must be a picture to list
    expected = {k: v for k, v in expected_tables(cfg).items() if k in {"ratings", "reliability"}}
    found = dict(store.status(expected).select("table", "why").rows())
    return {name: found[name].partition("embeddings is stale")[0] for name in expected}


def test_the_choice_of_traits_keeps_the_others_out(project):
    both = pl.concat([rated(project, 8, trait=t) for t in ("calm", "kind")])
    store, _ = project(both, "traits: [kind]")
    assert store.read("reliability")["trait"].to_list() == ["kind"]
    assert "calm" not in store.read("ratings").columns
    with pytest.raises(
        fs.tables.TableError, match=r"trait 'clam'; rated are \['calm', 'kind'\]. Did you mean 'calm'"
    ):
        project(both, "traits: [clam]")


def constant(project):
    return rated(project, 0).with_columns(rating=pl.lit(4.0))


ENDINGS = {
    "one rater": (lambda p: rated(p, 8, n_raters=1), "cannot be split into faces, raters and noise"),
    "twelve faces": (lambda p: rated(p, 8, n=12), "Only 12 faces were rated"),
    "one face": (lambda p: rated(p, 8, n=1), "1 faces by 6 raters cannot be split"),
    "other pictures": (
        lambda p: rated(p, 8).with_columns(
            image_id=pl.when(pl.col("image_id") > "04.jpg").then(pl.lit("x_")).otherwise(pl.lit(""))
            + pl.col("image_id")
        ),
        "Only 5 faces were rated; 20 are needed",
    ),
    "one rating for all": (constant, "All rated faces have the same mean rating"),
    "mere noise": (lambda p: rated(p, 0), "The model is not shown to be better than the mean rating"),
}


@pytest.mark.parametrize("case", ENDINGS)
def test_ratings_that_are_of_no_use_end_in_a_sentence_and_leave_no_old_table(project, case, capsys):
    store, _ = project(rated(project, 8))
    assert "calm" in store.read("ratings").columns
    ratings, said = ENDINGS[case]
    project(ratings(project))
    out = capsys.readouterr().out
    assert "calm is not predicted. " in out
    assert said in out
    assert "No trait is predicted. The later notebooks go on without ratings." in out
    assert "ratings: deleted, because it cannot be made any more" in out
    assert store.provenance("ratings") == {}
    row = store.read("reliability").row(0, named=True)
    assert row["model"] is None
    assert said in row["why_not"]


def test_without_a_face_or_with_one_person_a_sentence_says_so(project, capsys):
    store, _ = project(None)
    (project.folder / "raw/metadata.csv").write_text(
        "file_name,who\n" + "".join(f"{i},anna\n" for i in project.ids)
    )
    project(rated(project, 8), "person: who")
    assert "1 groups are too few for 5 folds" in capsys.readouterr().out
    rows = store.read("embeddings").with_columns(embedding=pl.lit(None, dtype=pl.Array(pl.Float32, 12)))
    store.build("embeddings", rows, as_given)
    project(rated(project, 8))
    assert "Only 0 of 40 rated faces have all of embedding" in capsys.readouterr().out


def test_when_the_file_is_gone_its_tables_go_but_those_of_a_saved_model_stay(project, capsys):
    store, _ = project(rated(project, 8))
    project(None)
    assert "No ratings: there is no file ratings.csv." in capsys.readouterr().out
    assert (store.provenance("ratings"), store.provenance("reliability")) == ({}, {})
    store.write("ratings", pl.DataFrame({"image_id": project.ids, "calm": [1.0] * N}))
    project(None)
    assert store.read("ratings").height == N
    project(rated(project, 8).clear())
    assert "No ratings: ratings.csv has no rows." in capsys.readouterr().out
    assert store.provenance("ratings") == {}
