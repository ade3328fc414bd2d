from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import facestats as fs
from facestats.core.config import PACKAGE, Config, EmbeddingsSettings, FacesSettings, TextLabelsSettings
from facestats.core.protocols import ModelError
from facestats.demo.gallery import write_gallery
from facestats.models.domain import Domain, describe_domain, find_domain
from facestats.models.weights import hash_files
from tests.conftest import LONDON, needs_london

CLIP, BART = PACKAGE / "demo" / "clip", PACKAGE / "demo" / "bart"
D = 4


def measured(limit=3.0):
    return Domain(
        "drawings", "Drawings only.", mean=np.zeros(2 * D), covariance=np.eye(2 * D), limits=np.full(3, limit)
    )


def table(faces, pictures):
    dtype = pl.Array(pl.Float32, D)
    columns = {"embedding": faces, "embedding_full": pictures}
    series = [pl.Series(k, v, dtype=dtype) for k, v in columns.items()]
    return pl.DataFrame([pl.Series("image_id", [f"{i}.jpg" for i in range(len(faces))]), *series])


def write_domain(folder, texts=None, **arrays):
    target = folder / "domain"
    target.mkdir(parents=True)
    given = {"trained_on": "drawings", "warning": "Drawings only."} if texts is None else texts
    (target / "domain.json").write_text(given if isinstance(given, str) else json.dumps(given))
    if arrays:
        save_file(arrays, target / "vectors.safetensors")
    return folder


def statistics(**changed):
    arrays = {"mean": np.zeros(2 * D), "covariance": np.eye(2 * D), "limits": np.full(3, 3.0)}
    return {k: np.asarray(v, np.float32) for k, v in {**arrays, **changed}.items()}


def test_the_toy_models_state_their_domain_and_real_ones_have_none():
    toy = fs.models.clip(EmbeddingsSettings(model=f"local-dir:{CLIP}")).domain
    assert toy.trained_on == "drawn characters"
    assert toy.warning.endswith(".")
    assert toy.limits is not None
    texts = fs.models.bart(TextLabelsSettings(model=str(BART))).domain
    assert texts.trained_on == "captions of drawn characters"
    assert fs.models.clip(EmbeddingsSettings()).domain is None
    assert fs.models.bart(TextLabelsSettings()).domain is None


def test_the_domain_is_no_part_of_the_name_so_that_stored_tables_stay_fresh(tmp_path):
    for folder, make in (
        (CLIP, lambda f: fs.models.clip(EmbeddingsSettings(model=f"local-dir:{f}"))),
        (BART, lambda f: fs.models.bart(TextLabelsSettings(model=str(f)))),
    ):
        copy = tmp_path / folder.name
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("domain"))
        assert make(copy).domain is None
        assert make(copy).name == make(folder).name
    files = [p for p in CLIP.iterdir() if p.suffix in {".json", ".safetensors"}]
    assert hash_files(files) in fs.models.clip(EmbeddingsSettings(model=f"local-dir:{CLIP}")).name


def test_a_far_vector_is_outside_whichever_vectors_there_are():
    near, far = np.zeros((1, D), np.float32), np.full((1, D), 9, np.float32)
    domain = measured()
    assert domain.is_outside(np.concatenate([near, far])).tolist() == [False, True]
    assert domain.is_outside(None, far).tolist() == [True]
    assert domain.is_outside(near, far).tolist() == [True]
    assert domain.is_outside(np.full((1, D), np.nan, np.float32)).tolist() == [True]
    assert domain.is_outside(np.zeros((0, D), np.float32)).tolist() == []
    assert Domain("texts", "Texts only.").is_outside(far).tolist() == [False]


@pytest.mark.parametrize("arrays", [(None, None), (np.zeros((2, D)), np.zeros((3, D))), (np.zeros(D), None)])
def test_arrays_that_do_not_belong_together_are_refused(arrays):
    with pytest.raises(ValueError, match="arrays"):
        measured().is_outside(*arrays)


@pytest.mark.parametrize("arrays", [(np.zeros((1, 3)), None), (np.zeros((1, 3)), np.zeros((1, 3)))])
def test_vectors_of_another_model_are_refused(arrays):
    with pytest.raises(ValueError, match="of 4 dimensions are needed, found 3"):
        measured().is_outside(*arrays)


def test_every_row_of_a_table_is_marked_and_one_without_a_vector_is_null():
    near, far = [0.0] * D, [9.0] * D
    rows = table([near, far, None, None, near, None], [near, near, far, near, None, None])
    marked = measured().mark(rows)
    assert marked["image_id"].to_list() == rows["image_id"].to_list()
    assert marked["outside"].to_list() == [False, True, True, False, False, None]
    assert measured().mark(rows.lazy()).equals(marked)
    assert measured().mark(rows.clear()).schema == marked.schema


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 9)), max_size=12))
def test_a_mark_depends_on_its_own_row_alone(drawn):
    faces = [[float(x)] * D if has else None for has, _, x in drawn]
    pictures = [[float(x)] * D if has else None for _, has, x in drawn]
    rows = table(faces, pictures)
    whole = measured().mark(rows)["outside"].to_list()
    assert whole == [measured().mark(rows[i])["outside"][0] for i in range(rows.height)]


def test_the_sentence_counts_the_pictures():
    class Handle:
        domain = measured()

    near, far = [0.0] * D, [9.0] * D
    say = lambda faces: describe_domain(Handle(), table(faces, faces))  # noqa: E731
    start = "Toy model: trained on drawings only."
    assert describe_domain(Handle()) == start
    assert say([far, far, None]) == f"{start} 2 of 2 pictures are unlike them: their labels mean nothing."
    assert say([far, near]) == f"{start} 1 of 2 pictures is unlike them: its labels mean nothing."
    assert say([near]) == f"{start} None of the 1 pictures is unlike them."
    assert describe_domain(object()) is None


@pytest.mark.parametrize(
    ("texts", "arrays"),
    [
        ("{", {}),
        ("[" * 100_000, {}),
        ([], {}),
        ({"trained_on": "drawings"}, {}),
        ({"trained_on": 3, "warning": "w"}, {}),
        ({"trained_on": "two\nlines", "warning": "w"}, {}),
        ({"trained_on": "x" * 501, "warning": "w"}, {}),
        (None, {"mean": np.zeros(2, np.float32)}),
        (None, statistics(mean=np.zeros(3))),
        (None, statistics(mean=0)),
        (None, statistics(limits=np.zeros(2))),
        (None, statistics(covariance=np.zeros((8, 4)))),
        (None, statistics(covariance=-np.eye(8))),
        (None, statistics(limits=[1, 2, np.nan])),
    ],
)
def test_broken_files_are_a_model_error_that_names_the_folder(tmp_path, texts, arrays):
    folder = write_domain(tmp_path / "model", texts, **arrays)
    with pytest.raises(ModelError, match=r"model.domain says .*\. Copy the files"):
        find_domain(f"local-dir:{folder}")


def test_a_file_that_is_no_safetensors_is_a_model_error(tmp_path):
    folder = write_domain(tmp_path / "model")
    assert find_domain(str(folder)).limits is None
    other = write_domain(tmp_path / "other")
    (other / "domain" / "vectors.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ModelError, match="vectors|header|cannot be read"):
        find_domain(str(other))


def test_reading_a_domain_imports_no_network():
    code = (
        "import sys; from facestats.models.domain import find_domain;"
        f" assert find_domain({str(CLIP)!r}).limits is not None; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_drawn_characters_are_inside_and_other_pictures_outside(tmp_path):
    from PIL import Image

    raw = tmp_path / "raw"
    write_gallery(raw, n=8, seed=77, workers=1)
    rng = np.random.default_rng(0)
    for i in range(4):
        noise = rng.integers(0, 256, (16 * 2**i, 16 * 2**i, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((512, 512)).save(raw / f"noise_{i}.png")
    clip = fs.models.clip(EmbeddingsSettings(model=f"local-dir:{CLIP}", device="cpu"))
    images = fs.list_images(raw).filter(pl.col("image_id").str.contains("character|noise"))
    found = fs.align_faces(images, fs.models.landmarker(FacesSettings()), tmp_path / "crops", workers=1)
    vectors = fs.embed_faces(found, clip, tmp_path / "crops", raw_dir=raw, workers=1)
    marked = clip.domain.mark(vectors)
    kinds = marked.with_columns(drawn=pl.col("image_id").str.starts_with("character"))
    assert kinds.filter("drawn")["outside"].sum() <= 1
    assert kinds.filter(~pl.col("drawn"))["outside"].all()


@needs_london
def test_photographs_are_unlike_drawn_characters(tmp_path):
    clip = fs.models.clip(EmbeddingsSettings(model=f"local-dir:{CLIP}", device="cpu"))
    images = fs.list_images(LONDON).filter(pl.col("image_id").str.ends_with("_03.jpg")).head(6)
    found = fs.align_faces(images, fs.models.landmarker(FacesSettings()), tmp_path / "crops", workers=1)
    vectors = fs.embed_faces(found, clip, tmp_path / "crops", raw_dir=LONDON, workers=1)
    assert clip.domain.mark(vectors)["outside"].to_list() == [True] * 6


def test_the_run_card_says_at_the_top_that_toy_models_answered(tmp_path):
    project = fs.testing.example_project()
    dim = project.embeddings["embedding"].dtype.size
    eye = {"mean": np.full(2 * dim, 9.0), "covariance": np.eye(2 * dim)}
    folder = write_domain(
        tmp_path / "fake-clip", **{k: v.astype(np.float32) for k, v in {**eye, "limits": np.ones(3)}.items()}
    )
    cfg = Config(
        data_dir=tmp_path / "data",
        raw_dir=project.raw_dir,
        attributes=project.attributes,
        embeddings={"model": f"local-dir:{folder}"},
    )
    card = fs.audit.write_card(cfg, project.store, findings=fs.audit.findings()).read_text()
    line = (
        "Labels of pictures: **Toy model: trained on drawings only. 12 of 12 pictures are unlike them: their labels mean"
        " nothing.**"
    )
    assert line in card.partition("\n## ")[0]
    real = Config(data_dir=tmp_path / "data", raw_dir=project.raw_dir, attributes=project.attributes)
    assert "Toy" not in fs.audit.write_card(real, project.store, findings=fs.audit.findings()).read_text()
