"""Search by vector: exact for any batch size, and arithmetic with faces and words."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facestats.core.tables import TableError
from facestats.embeddings import search
from facestats.embeddings.search import query_vector, search_faces


def vectors_table(n=6, dim=5, nulls=()):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(n, dim)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    rows = [None if i in nulls else row.tolist() for i, row in enumerate(matrix)]
    series = pl.Series(rows, dtype=pl.Array(pl.Float32, dim))
    return pl.DataFrame({"image_id": [f"i{k}" for k in range(n)], "embedding": series}), matrix


def test_a_vector_finds_itself_first_and_scale_does_not_matter():
    table, matrix = vectors_table(nulls=(3,))
    found = search_faces(table, 7 * matrix[4], top=10)
    assert found["image_id"][0] == "i4"
    assert found["similarity"][0] == pytest.approx(1, abs=1e-6)
    assert found.height == 5
    assert found["similarity"].is_sorted(descending=True)
    assert search_faces(table, matrix[4], top=2).height == 2


@pytest.mark.parametrize("query", [np.zeros(5), np.full(5, np.nan), np.ones(4), np.ones((1, 5))])
def test_a_query_that_is_no_direction_is_refused(query):
    table, _ = vectors_table()
    with pytest.raises(ValueError, match="query"):
        search_faces(table, query)


def test_a_text_as_query_is_answered_with_the_call_that_encodes_it():
    table, _ = vectors_table()
    with pytest.raises(
        ValueError,
        match=r"^query is a vector, got the text 'a laughing person'\. Encode it first:"
        r" clip\.encode_texts\(\['a laughing person'\]\)\[0\]$",
    ):
        search_faces(table, "a laughing person")


def test_a_search_over_nothing_finds_nothing():
    table, matrix = vectors_table()
    assert search_faces(table.clear(), matrix[0]).height == 0


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 60),
    top=st.integers(1, 70),
    batch=st.integers(1, 25),
    data=st.data(),
)
def test_batches_do_not_change_what_is_found(tmp_path_factory, n, top, batch, data):
    nulls = data.draw(st.sets(st.integers(0, n - 1)))
    table, matrix = vectors_table(n, 4, nulls)
    path = tmp_path_factory.mktemp("search") / "e.parquet"
    table.write_parquet(path, row_group_size=7)
    query = matrix[0] + 0.1
    want = pl.DataFrame(
        {"image_id": table["image_id"], "similarity": matrix @ (query / np.linalg.norm(query))}
    )
    want = want.filter(~pl.Series([i in nulls for i in range(n)]))
    want = want.sort("similarity", descending=True, maintain_order=True).head(top)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "BATCH_ROWS", batch)
        for source in (table, pl.scan_parquet(path)):
            found = search_faces(source, query, top=top)
            assert found["image_id"].to_list() == want["image_id"].to_list()
            assert np.allclose(found["similarity"], want["similarity"], atol=1e-6)


def test_ties_keep_the_order_of_the_table_across_batches(monkeypatch):
    monkeypatch.setattr(search, "BATCH_ROWS", 3)
    same = pl.Series(np.tile([1.0, 0.0], (10, 1)), dtype=pl.Array(pl.Float32, 2))
    table = pl.DataFrame({"image_id": [f"i{9 - k}" for k in range(10)], "embedding": same})
    assert search_faces(table, [0.5, 0.5], top=7)["image_id"].to_list() == [f"i{9 - k}" for k in range(7)]


def test_a_lazy_table_without_vectors_is_named():
    with pytest.raises(TableError, match="embedding_full"):
        search_faces(vectors_table()[0].lazy(), np.ones(5), column="embedding_full")


class AxisEncoder:
    """Encodes a text along the axis that it names, and along the last axis, which all texts share, as in CLIP."""

    dim = 5

    def encode_texts(self, texts):
        out = np.zeros((len(texts), 5), dtype=np.float32)
        out[:, 4] = 2
        out[range(len(texts)), [int(t[-1]) for t in texts]] += 1
        return out / np.linalg.norm(out, axis=1, keepdims=True)


def test_this_face_but_older():
    table, matrix = vectors_table()
    query = query_vector(
        table, like=["i2"], plus=["axis 0"], minus=["axis 1"], encoder=AxisEncoder(), strength=0.5
    )
    want = matrix[2] + 0.5 * np.array([1, -1, 0, 0, 0]) / np.sqrt(2)
    assert np.allclose(query, want / np.linalg.norm(want), atol=1e-6)
    assert query.dtype == np.float32


@given(strength=st.floats(0, 50))
def test_more_strength_is_nearer_to_the_words(strength):
    table, _ = vectors_table()
    words = query_vector(table, plus=["axis 0"], encoder=AxisEncoder())
    ask = {"like": ["i1", "i3"], "plus": ["axis 0"], "encoder": AxisEncoder()}
    weak = query_vector(table.lazy(), **ask, strength=strength)
    strong = query_vector(table, **ask, strength=strength + 1)
    assert np.linalg.norm(weak) == pytest.approx(1, abs=1e-5)
    assert strong @ words > weak @ words


def test_one_face_is_its_own_query_and_faces_count_alike():
    table, matrix = vectors_table()
    assert np.allclose(query_vector(table, like=["i3"]), matrix[3], atol=1e-6)
    mean = matrix[[0, 5]].sum(axis=0)
    assert np.allclose(query_vector(table, like=["i5", "i0"]), mean / np.linalg.norm(mean), atol=1e-6)


def test_queries_that_cannot_be_composed_say_why():
    table, _ = vectors_table(nulls=(3,))
    with pytest.raises(ValueError, match=r"no embedding for \['i3', 'nobody'\]"):
        query_vector(table, like=["i0", "nobody", "i3"])
    with pytest.raises(ValueError, match="encoder=fs.models.clip"):
        query_vector(table, plus=["axis 0"])
    with pytest.raises(ValueError, match=r"nothing to search for\. Give faces"):
        query_vector(table)
