"""The contract of every table: its columns and their types, and the check that enforces them."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.display import list_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = [
    "ATTRIBUTES",
    "AUDIT",
    "CLASSIFICATIONS",
    "CLUSTERS",
    "COMPOSITES",
    "DECODED",
    "EMBEDDINGS",
    "FACES",
    "FINGERPRINT",
    "KEY",
    "MASTER",
    "N_LANDMARKS",
    "RATINGS",
    "RELIABILITY",
    "STATUS",
    "STATUSES",
    "TABLES",
    "TEXT_EMBEDDINGS",
    "TEXT_LABELS",
    "TRUE_PREFIX",
    "VIEWS",
    "Table",
    "TableError",
    "check_table",
]

Rows = pl.DataFrame | pl.LazyFrame
KEY = "image_id"
FINGERPRINT = "fingerprint"
TRUE_PREFIX = "true_"  # of columns that hold the known truth
# the view that an attribute is judged from, and the column of its vectors
VIEWS = {"face": "embedding", "full": "embedding_full"}
LENGTH_TOLERANCE = 1e-2  # half precision rounds the length of a vector by less
N_LANDMARKS = 478  # Mediapipe FaceMesh with refined irises
STATUSES = (
    "ok",
    "ok_first_frame",
    "no_face",
    "many_faces",
    "not_image",
    "unsupported_format",
    "corrupt",
    "truncated",
    "empty",
    "too_large",
    "too_small",
    "not_regular_file",
    "permission_denied",
    "unreadable",
    "vanished",
    "changed_during_run",
    "decode_timeout",
    "decode_crash",
    "decode_memory",
    "model_error",
)
STATUS = pl.Enum(STATUSES)
# statuses of rows whose picture was decoded, so that the whole-picture vector exists
DECODED = ("ok", "ok_first_frame", "no_face", "many_faces")


class TableError(ValueError):
    """A table does not have the columns, types or unique keys that its contract promises."""


@dataclass(frozen=True)
class Table:
    """The contract of one stored table.

    Parameters
    ----------
    name
        Name of the table, and of its package, notebook and file.
    made_by
        The notebook that makes it.
    reads
        Tables that it is made from; the first one gives its rows. Empty for the first stage.
    columns
        Required columns and their types. ``pl.Array`` or ``pl.Enum`` without parameters allow any type of that kind.
    open_ended
        Whether further columns are allowed, such as those of the attributes in the configuration.
    key
        The column that names a row.
    optional
        Whether a project may lack this table.
    vectors
        Columns of vectors of length one.
    files
        Column that names files below the crops folder; these files are kept as long as the table names them.
    earlier_name
        Name of the table in an earlier release; a table of that name is read, and the next version replaces it.
    earlier_columns
        Names of columns in an earlier release, and their present names.
    """

    name: str
    made_by: str
    reads: tuple[str, ...]
    columns: Mapping[str, pl.DataType | type[pl.DataType]] = field(repr=False)
    open_ended: bool = False
    key: str = KEY
    optional: bool = False
    vectors: tuple[str, ...] = ()
    files: str | None = None
    earlier_name: str | None = None
    earlier_columns: Mapping[str, str] = field(default_factory=dict, repr=False)


_FAILURE: dict[str, pl.DataType | type[pl.DataType]] = {"status": STATUS, "error": pl.String}

FACES = Table(
    "faces",
    "notebooks/01_faces.ipynb",
    (),
    {
        KEY: pl.String,
        **_FAILURE,
        "sha256": pl.String,
        "bytes": pl.Int64,
        "width": pl.Int32,
        "height": pl.Int32,
        "format": pl.String,
        "icc_profile": pl.String,
        "n_faces": pl.Int32,
        "detector": pl.String,
        "score": pl.Float32,
        "box": pl.Array(pl.Float32, 4),
        "landmarks": pl.Array(pl.Float32, (N_LANDMARKS, 2)),
        "yaw": pl.Float32,
        "pitch": pl.Float32,
        "roll": pl.Float32,
        "eye_distance_px": pl.Float32,
        "sharpness": pl.Float32,
        "matrix": pl.Array(pl.Float64, (2, 3)),
        "crop": pl.String,
    },
    files="crop",
)
EMBEDDINGS = Table(
    "embeddings",
    "notebooks/02_embeddings.ipynb",
    ("faces",),
    {KEY: pl.String, **_FAILURE, "embedding": pl.Array, "embedding_full": pl.Array},
    vectors=("embedding", "embedding_full"),
)
ATTRIBUTES = Table(
    "attributes", "notebooks/03_attributes.ipynb", ("embeddings",), {KEY: pl.String}, open_ended=True
)
CLASSIFICATIONS = Table(
    "classifications",
    "notebooks/03_attributes.ipynb",
    ("faces",),
    {KEY: pl.String},
    open_ended=True,
    optional=True,
)
TEXT_LABELS = Table("text_labels", "notebooks/04_text_labels.ipynb", (), {KEY: pl.String}, open_ended=True)
TEXT_EMBEDDINGS = Table(
    "text_embeddings",
    "notebooks/04_text_labels.ipynb",
    (),
    {KEY: pl.String, "embedding": pl.Array, "embedding_full": pl.Array},
    vectors=("embedding", "embedding_full"),
    optional=True,
)
RATINGS = Table(
    "ratings",
    "notebooks/05_ratings.ipynb",
    ("embeddings",),
    {KEY: pl.String},
    open_ended=True,
    optional=True,
    earlier_name="scores",
)
RELIABILITY = Table(
    "reliability",
    "notebooks/05_ratings.ipynb",
    ("embeddings",),
    {
        "trait": pl.String,
        "n_faces": pl.Int64,
        "n_raters": pl.Int64,
        "n_ratings": pl.Int64,
        **{
            f"{measure}{end}": pl.Float64
            for measure in (
                *("icc_2_1", "icc_2_k", "single_rater", "split_half", "spearman_brown", "ceiling"),
                *("held_out_r", "skill"),
            )
            for end in ("", "_low", "_high")
        },
        "model": pl.String,
        "why_not": pl.String,
    },
    key="trait",
    optional=True,
)
RATED_FACES = Table(
    "rated_faces",
    "notebooks/05_ratings.ipynb",
    ("reliability",),  # it has a row per rated face, not per face
    {KEY: pl.String},
    open_ended=True,
    optional=True,
)
MASTER = Table(
    "master",
    "notebooks/06_master.ipynb",
    ("faces", "attributes", "classifications", "text_labels", "ratings"),
    {KEY: pl.String, **_FAILURE, "crop": pl.String},
    open_ended=True,
    files="crop",
)
CLUSTERS = Table(
    "clusters",
    "notebooks/07_clusters.ipynb",
    ("embeddings",),
    {KEY: pl.String, "cluster": pl.Int32, **dict.fromkeys(("x", "y", "pca_x", "pca_y"), pl.Float32)},
    open_ended=True,
)
COMPOSITES = Table(
    "composites",
    "notebooks/08_composites.ipynb",
    ("master", "clusters"),
    {"composite": pl.String, "method": pl.String, "n": pl.Int32, "members": pl.List(pl.String)},
    open_ended=True,
    key="composite",
)
AUDIT = Table(
    "audit",
    "notebooks/09_audit.ipynb",
    ("master",),
    {
        "slice": pl.String,
        "attribute": pl.String,
        "source": pl.String,
        "by": pl.String,
        "group": pl.String,
        "n": pl.Int64,
        **{
            f"{metric}{end}": pl.Float64
            for metric in ("accuracy", "balanced_accuracy", "macro_f1")
            for end in ("", "_low", "_high")
        },
        "p_adjusted": pl.Float64,
        "smallest_gap": pl.Float64,
    },
    optional=True,
    key="slice",
    earlier_columns={"p_value": "p_adjusted"},
)
TABLES = {
    t.name: t
    for t in (
        FACES,
        EMBEDDINGS,
        ATTRIBUTES,
        CLASSIFICATIONS,
        TEXT_LABELS,
        TEXT_EMBEDDINGS,
        RELIABILITY,
        RATED_FACES,
        RATINGS,
        MASTER,
        CLUSTERS,
        COMPOSITES,
        AUDIT,
    )
}


def check_table(df: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Check that a frame fulfils the contract of a table.

    Parameters
    ----------
    df
        The frame to check.
    table
        The contract, for example ``fs.tables.EMBEDDINGS``.

    Returns
    -------
    `df`, unchanged.

    Raises
    ------
    TableError
        If a column is missing, unknown or of another type, if a key is null or repeated, or if a vector is not finite
        or not of length one. The message lists every problem and names the notebook that makes the table.

    Examples
    --------
    >>> import facestats as fs
    >>> faces = fs.testing.example_project().faces
    >>> fs.tables.check_table(faces, fs.tables.FACES).height
    12
    >>> fs.tables.check_table(faces.drop("crop"), fs.tables.FACES)
    Traceback (most recent call last):
    facestats.core.tables.TableError: table 'faces' is not valid:
      - column 'crop' is missing
    It is made by notebooks/01_faces.ipynb.
    """
    problems = []
    for name, dtype in table.columns.items():
        if name not in df.columns:
            problems.append(f"column {name!r} is missing")
        elif df.schema[name] != dtype:
            problems.append(f"column {name!r} is {df.schema[name]}, expected {dtype}")
    if not table.open_ended and (extra := sorted(set(df.columns) - set(table.columns) - {FINGERPRINT})):
        problems.append(f"unknown columns {extra}")
    problems += _key_problems(df, table.key)
    for name in table.vectors if not problems else ():
        problems += _vector_problems(df, name, table.key)
    if problems:
        listed = "\n  - ".join(problems)
        msg = f"table {table.name!r} is not valid:\n  - {listed}\nIt is made by {table.made_by}."
        raise TableError(msg)
    return df


def check_columns(df: pl.DataFrame, *columns: str, made_by: str) -> None:
    """Raise TableError if `df` lacks any of `columns`.

    The message names them, existing columns of a similar name, and `made_by`, the call that makes them.
    """
    if missing := [c for c in columns if c not in df.columns]:
        others = {c.casefold(): c for c in df.columns if c not in columns}
        near = [n for c in missing for n in get_close_matches(c.casefold(), others, n=1, cutoff=0.7)]
        meant = f" (did you mean {list_columns([others[n] for n in dict.fromkeys(near)])}?)" if near else ""
        found = f"it has {list_columns(df.columns)}" if df.columns else "it has no columns"
        one_or_more = "The missing column is" if len(missing) == 1 else "The missing columns are"
        msg = f"the frame has no column {list_columns(missing)}{meant}; {found}. {one_or_more} made by {made_by}."
        raise TableError(msg)


def take_rows(rows: Rows, keys: pl.Series) -> pl.DataFrame:
    """Collect the rows whose key is in `keys` (a series named like the key column); of a lazy table, load only these."""
    column = pl.col(keys.name)
    # with these bounds Polars skips whole files
    within = column.is_between(pl.lit(keys.min()), pl.lit(keys.max()))
    return rows.lazy().filter(within & column.is_in(keys.implode())).collect()


def _key_problems(df: pl.DataFrame, key: str) -> list[str]:
    if key not in df.columns:
        return []
    problems = []
    if n := df[key].null_count():
        problems.append(f"{n} rows have no {key}")
    if n := df.height - df[key].n_unique():
        example = df.filter(pl.col(key).is_duplicated())[key][0]
        problems.append(f"{n} repeated {key} values, for example {example!r}")
    return problems


def _vector_problems(df: pl.DataFrame, column: str, key: str) -> list[str]:
    rows = df.select(key, column).drop_nulls(column)
    if rows.is_empty():
        return []
    bad = ~has_length_one(rows[column].to_numpy())
    if not bad.any():
        return []
    example = rows[key][int(bad.argmax())]
    return [
        f"{int(bad.sum())} vectors in {column!r} are not finite or not of length one, such as that of {example!r}"
    ]


def has_length_one(vectors: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which vectors, (n, dim), are finite and of length one, up to what half precision loses."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)  # NaN and infinity stay what they are
    return np.abs(np.sqrt(squares) - 1) <= LENGTH_TOLERANCE


def __dir__() -> list[str]:
    return __all__
