"""What a model was trained on, if its folder says so, and which pictures are unlike that.

A model that knows only one kind of picture has a folder ``domain`` beside its weights. It is no part of the weights: it
does not enter the name of the model, and no table depends on it.

- ``domain.json``: `trained_on` and `warning`, two texts.
- ``vectors.safetensors``, of encoders alone: `mean` (2 d,) and `covariance` (2 d, 2 d) of the vectors of pictures of that
  kind, first those of the aligned faces and then those of the whole pictures; `limits` (3,), the distances that 1 % of
  held-out pictures of that kind exceed: by the face alone, by the whole picture alone, and by both.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.core.protocols import ModelError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

FOLDER, TEXTS, VECTORS = "domain", "domain.json", "vectors.safetensors"
MAX_BYTES = 64_000_000  # of a file: more would be no statistics of vectors
MAX_CHARACTERS = 500  # of a text
_PARTS = ("face", "full", "both")


@dataclass(frozen=True, eq=False)
class Domain:
    """What a model was trained on, and a check that finds pictures unlike that.

    The check is the Mahalanobis distance to the mean of the vectors of such pictures. Both vectors of a picture together
    show much more than one of them alone.

    Parameters
    ----------
    trained_on
        The only kind of pictures or texts that the model knows.
    warning
        A sentence for everyone who reads an answer of the model.
    mean, covariance, limits
        Statistics of the vectors, as in ``vectors.safetensors``; None where nothing was measured.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import PACKAGE, EmbeddingsSettings
    >>> demo = fs.models.clip(EmbeddingsSettings(model=f"local-dir:{PACKAGE / 'demo' / 'clip'}"))
    >>> demo.domain.trained_on
    'drawn characters'
    """

    trained_on: str
    warning: str
    mean: NDArray[np.float64] | None = None
    covariance: NDArray[np.float64] | None = None
    limits: NDArray[np.float64] | None = None

    def is_outside(
        self, faces: NDArray[np.float32] | None, pictures: NDArray[np.float32] | None = None
    ) -> NDArray[np.bool_]:
        """Find the pictures that are unlike those that the model was trained on.

        Parameters
        ----------
        faces
            Vectors of aligned faces, (n, d); None if there are none.
        pictures
            Vectors of the whole pictures, (n, d), in the same order; None if there are none.

        Returns
        -------
        Whether each picture is farther from the mean than 99 % of held-out pictures of the model's own kind, (n,). If
        nothing was measured, none is.
        """
        given = [v for v in (faces, pictures) if v is not None]
        if not given or len({np.shape(v) for v in given}) > 1 or np.ndim(given[0]) != 2:
            msg = f"two arrays (n, d) of one shape are needed, or one; found {[np.shape(v) for v in given]}."
            raise ValueError(msg)
        if self.mean is None or self.limits is None:
            return np.zeros(len(given[0]), dtype=np.bool_)
        part = "both" if len(given) == 2 else "face" if pictures is None else "full"
        vectors = np.concatenate(given, axis=1, dtype=np.float64)
        # not <=, so that a vector that is not finite is outside
        return ~(self.measure(vectors, part) <= self.limits[_PARTS.index(part)])

    def mark(self, embeddings: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
        """Mark the pictures of a table that are unlike those that the model was trained on.

        Parameters
        ----------
        embeddings
            Table of :func:`facestats.embed_faces`.

        Returns
        -------
        `image_id` and `outside` (Boolean, null where there is no vector), in the order of the rows.
        """
        import polars as pl

        from facestats.core.tables import KEY, VIEWS

        face, full = VIEWS.values()
        table = embeddings.lazy().select(KEY, face, full).collect()
        outside = np.zeros(table.height, dtype=np.bool_)
        has_face, has_full = (table[c].is_not_null().to_numpy() for c in (face, full))
        for with_face, with_full in ((True, True), (True, False), (False, True)):
            rows = (has_face == with_face) & (has_full == with_full)
            if rows.any():
                chosen = table.filter(pl.Series(rows))
                outside[rows] = self.is_outside(
                    chosen[face].to_numpy() if with_face else None,
                    chosen[full].to_numpy() if with_full else None,
                )
        return table.select(KEY, outside=pl.when(pl.Series(has_face | has_full)).then(pl.Series(outside)))

    def measure(self, vectors: NDArray[np.float64], part: str) -> NDArray[np.float64]:
        """Measure Mahalanobis distances.

        Parameters
        ----------
        vectors
            Vectors, (n, d), or those of faces and of whole pictures side by side, (n, 2 d).
        part
            ``face``, ``full`` or ``both``.

        Returns
        -------
        The distance of each from the mean, (n,).
        """
        mean, covariance = np.asarray(self.mean), np.asarray(self.covariance)
        d = len(mean) // 2
        columns = {"face": slice(0, d), "full": slice(d, 2 * d), "both": slice(0, 2 * d)}[part]
        if vectors.shape[1] != len(mean[columns]):
            msg = f"vectors of {d} dimensions are needed, found {vectors.shape[1] // (1 + (part == 'both'))}."
            raise ValueError(msg)
        lower = np.linalg.cholesky(covariance[columns, columns])
        return np.linalg.norm(np.linalg.solve(lower, (vectors - mean[columns]).T), axis=0)


def describe_domain(model: Any, embeddings: pl.DataFrame | pl.LazyFrame | None = None) -> str | None:
    """Say of a toy model what it was trained on, and how many of the pictures are unlike that.

    Parameters
    ----------
    model
        A handle such as ``fs.models.clip(cfg.embeddings)``.
    embeddings
        Table of :func:`facestats.embed_faces` with vectors of this model; None to count no pictures.

    Returns
    -------
    One or two sentences; None for a model that does not limit itself to one kind of pictures or texts.

    Raises
    ------
    ModelError
        If the files that describe the domain cannot be read.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import PACKAGE, TextLabelsSettings
    >>> demo = fs.models.bart(TextLabelsSettings(model=str(PACKAGE / "demo" / "bart")))
    >>> fs.models.describe_domain(demo)
    'Toy model: trained on captions of drawn characters only.'
    >>> print(fs.models.describe_domain(fs.models.bart(TextLabelsSettings())))
    None
    """
    domain = getattr(model, "domain", None)
    return None if domain is None else describe(domain, embeddings)


def describe(domain: Domain, embeddings: pl.DataFrame | pl.LazyFrame | None = None) -> str:
    """Write the sentences of :func:`describe_domain`."""
    text = f"Toy model: trained on {domain.trained_on} only."
    if embeddings is None or domain.limits is None:
        return text
    outside = domain.mark(embeddings)["outside"].drop_nulls()
    k, n = int(outside.sum()), len(outside)
    if not k:
        return f"{text} None of the {n} pictures is unlike them."
    verb, whose = ("is", "its") if k == 1 else ("are", "their")
    return f"{text} {k} of {n} pictures {verb} unlike them: {whose} labels mean nothing."


def find_domain(model: str) -> Domain | None:
    """Read the domain of a model that lies in a folder.

    Parameters
    ----------
    model
        As in the configuration: a folder, with or without ``local-dir:`` before it, or the name of a downloaded model,
        which has no domain.

    Returns
    -------
    The domain, or None if there is no folder ``domain``.

    Raises
    ------
    ModelError
        If the files cannot be read, or do not hold what they should.
    """
    folder = Path(model.removeprefix("local-dir:")).expanduser() / FOLDER
    return read_domain(folder) if folder.is_dir() else None


@functools.lru_cache(maxsize=8)
def read_domain(folder: Path) -> Domain:
    """Read the files of a domain."""
    try:
        texts = json.loads(_check_size(folder / TEXTS).read_text(encoding="utf-8"))
        found = [texts[key] for key in ("trained_on", "warning")]
        if not all(isinstance(t, str) and 0 < len(t) <= MAX_CHARACTERS and t.isprintable() for t in found):
            msg = "trained_on and warning must be texts of one line"
            raise ValueError(msg)
        file = folder / VECTORS
        return Domain(*found, *(_read_vectors(file) if file.exists() else ()))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        msg = (
            f"the folder {folder} says what the model was trained on, but cannot be read: {error!r}."
            " Copy the files of the model again, or remove this folder."
        )
        raise ModelError(msg) from error


def _read_vectors(file: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(_check_size(file).read_bytes())
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    mean, covariance, limits = (arrays[k].astype(np.float64) for k in ("mean", "covariance", "limits"))
    size = len(mean)
    if mean.shape != (size,) or size % 2 or covariance.shape != (size, size) or limits.shape != (3,):
        msg = f"{file.name} has the shapes {mean.shape}, {covariance.shape} and {limits.shape}"
        raise ValueError(msg)
    if not all(np.isfinite(a).all() for a in (mean, covariance, limits)):
        msg = f"{file.name} holds numbers that are not finite"
        raise ValueError(msg)
    np.linalg.cholesky(covariance)  # LinAlgError, a ValueError, if it is no covariance
    return mean, covariance, limits


def _check_size(file: Path) -> Path:
    if (size := file.stat().st_size) > MAX_BYTES:
        msg = f"{file.name} has {size:,} bytes"
        raise ValueError(msg)
    return file
