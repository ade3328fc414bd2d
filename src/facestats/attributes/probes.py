"""Linear probes: attributes learned from stored vectors and human labels, saved with their test results."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core.atomic_write import write_atomically
from facestats.core.protocols import ModelError
from facestats.core.tables import KEY
from facestats.store.fingerprint import UNREAD, describe_value, frame_digest, stage_hash

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facestats.core.attribute_settings import AttributeSettings
    from facestats.core.protocols import Encoder

FILE_VERSION = 1
MIN_COSINE = 0.98  # from this cosine similarity on, a test counts two pictures as near-duplicates
REPORT: dict[str, pl.DataType | type[pl.DataType]] = {
    "attribute": pl.String,
    "n": pl.Int32,
    "n_tested": pl.Int32,
    "accuracy": pl.Float64,
    "accuracy_low": pl.Float64,
    "accuracy_high": pl.Float64,
    "zero_shot": pl.Float64,
    "gain": pl.Float64,
    "gain_low": pl.Float64,
    "gain_high": pl.Float64,
    "promoted": pl.Boolean,
    "why": pl.String,
}
CURVE: dict[str, pl.DataType | type[pl.DataType]] = {
    "attribute": pl.String,
    "n_labels": pl.Int32,
    "accuracy": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "zero_shot": pl.Float64,
    "zero_shot_low": pl.Float64,
    "zero_shot_high": pl.Float64,
}


@dataclass(frozen=True, eq=False)
class Probe:
    """A multinomial logistic regression on the vectors of one attribute.

    Parameters
    ----------
    options
        All options of the attribute, in order; the probability of an option without labels is 0.
    view
        The vector that it reads: ``face`` or ``full``.
    weights, bias
        Weights (n_options, dim) and bias (n_options,), float32.
    held_out
        Probabilities of the pictures that it learned from, (n_labelled, n_options) float32. Each row comes from the
        fold that was fitted without this picture, so it may be compared with the label.
    members
        `image_id` of the pictures that it learned from, in the order of `held_out`.
    """

    options: tuple[str, ...]
    view: str
    weights: NDArray[np.float32] = field(repr=False)
    bias: NDArray[np.float32] = field(repr=False)
    held_out: NDArray[np.float32] = field(repr=False)
    members: tuple[str, ...] = field(repr=False)

    def probabilities(self, image_ids: pl.Series, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of each option for each picture.

        Parameters
        ----------
        image_ids
            Keys of the pictures, (n,) String.
        vectors
            Their unit vectors, (n, dim).

        Returns
        -------
        Probabilities, (n, n_options) float64; the held-out ones for pictures that the probe learned from.

        Raises
        ------
        ModelError
            If the vectors have another dimension than those that the probe was fitted on.
        """
        from scipy.special import softmax

        if vectors.shape[1] != self.weights.shape[1]:
            msg = (
                f"the probe reads {self.weights.shape[1]} dimensions, the vectors have {vectors.shape[1]}."
                " Use vectors of the encoder that the probe was fitted on."
            )
            raise ModelError(msg)
        logits = vectors.astype(np.float64) @ self.weights.T.astype(np.float64) + self.bias
        out = softmax(logits, axis=1)
        position = {image_id: i for i, image_id in enumerate(self.members)}
        learned_from = [(row, position[i]) for row, i in enumerate(image_ids) if i in position]
        if learned_from:
            rows, positions = map(list, zip(*learned_from, strict=True))
            out[rows] = self.held_out[positions]
        return out


@dataclass(frozen=True, eq=False)
class Probes:
    """The probes of one collection of pictures.

    Parameters
    ----------
    name
        Identifies the probes: a hash of labels, vectors, prompts, encoder and settings.
    encoder
        Name of the encoder whose vectors they read.
    fitted
        The probe of each attribute, whether it is better than zero-shot or not.
    report
        One row per attribute that has labels: `n` labels, of which `n_tested` count in the test (Int32); `accuracy`
        in cross-validation with its 95 % interval `accuracy_low` to `accuracy_high`, `zero_shot` accuracy on the same
        rows, `gain` with its interval `gain_low` to `gain_high` (Float64); `promoted` (Boolean) and `why` (String).
    curves
        Per attribute, `accuracy` by the number of labels that were learned from (`n_labels`), with its 95 % interval
        `low` to `high`, and the accuracy of `zero_shot` with its interval.
    parts
        The same kind of name for each attribute in `report` alone, so that another prompt of one attribute leaves the
        other probes as they are.
    """

    name: str
    encoder: str
    fitted: Mapping[str, Probe]
    report: pl.DataFrame
    curves: pl.DataFrame
    parts: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Probes({self.name!r}, fitted={list(self.fitted)}, promoted={list(self.promoted)})"

    @property
    def promoted(self) -> dict[str, Probe]:
        """The probes that label better than the prompts: the interval of their gain lies above zero.

        Returns
        -------
        Probes by attribute.
        """
        better = self.report.filter("promoted")["attribute"].to_list()
        return {name: probe for name, probe in self.fitted.items() if name in better}

    def save(self, file: str | os.PathLike[str]) -> Path:
        """Write the probes to one safetensors file; an interrupted write leaves the old file.

        Parameters
        ----------
        file
            The file; its folder is made if it is missing.

        Returns
        -------
        Path of the file.
        """
        from safetensors.numpy import save

        path = Path(file)
        tensors = {
            f"{name}.{part}": np.ascontiguousarray(getattr(probe, part))
            for name, probe in self.fitted.items()
            for part in ("weights", "bias", "held_out")
        }
        about = {
            n: {"options": p.options, "view": p.view, "members": p.members} for n, p in self.fitted.items()
        }
        metadata = {
            "format": f"facestats probes {FILE_VERSION}",
            "name": self.name,
            "encoder": self.encoder,
            "probes": json.dumps(about, ensure_ascii=False),
            "report": self.report.write_json(),
            "curves": self.curves.write_json(),
            "parts": json.dumps(dict(self.parts), ensure_ascii=False),
        }
        return write_atomically(path, save(tensors, metadata=metadata))


def load_probes(file: str | os.PathLike[str], encoder: Encoder | str) -> Probes:
    """Read the probes that :meth:`Probes.save` wrote.

    Parameters
    ----------
    file
        A safetensors file.
    encoder
        The encoder of the vectors that the probes shall label, or its name.

    Returns
    -------
    The probes, with their `report` and `curves`.

    Raises
    ------
    ModelError
        If the file holds no probes, or probes that were fitted on the vectors of another encoder.

    Examples
    --------
    >>> import tempfile
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> labels = fs.human_labels.read("no_file.csv", project.attributes, truth=project.truth)
    >>> given = (project.embeddings, labels, project.attributes)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     probes = fs.attributes.fit_probes(*given, encoder=project.encoder, file=f"{folder}/p.safetensors")
    ...     again = fs.attributes.load_probes(f"{folder}/p.safetensors", project.encoder)
    >>> again.report.equals(probes.report)
    True
    """
    from safetensors import SafetensorError, safe_open

    path = Path(file)
    try:
        with safe_open(path, framework="numpy") as stream:
            metadata = stream.metadata() or {}
            tensors = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        msg = f"{path} holds no probes ({error}). Fit them with fs.attributes.fit_probes (notebooks/03_attributes.ipynb)."
        raise ModelError(msg) from error
    if metadata.get("format") != f"facestats probes {FILE_VERSION}":
        found = metadata.get("format", "something else")
        msg = (
            f"{path} holds {found!r}, expected 'facestats probes {FILE_VERSION}'."
            " Fit the probes again with fs.attributes.fit_probes (notebooks/03_attributes.ipynb)."
        )
        raise ModelError(msg)
    try:
        probes = _parse(metadata, tensors)
    except (
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
        pl.exceptions.PolarsError,
    ) as error:
        msg = (
            f"{path} holds no probes: its description is damaged ({error!r})."
            " Fit them again with fs.attributes.fit_probes (notebooks/03_attributes.ipynb)."
        )
        raise ModelError(msg) from error
    check_encoder(probes.encoder, encoder, where=str(path))
    return probes


def _parse(metadata: Mapping[str, str], tensors: Mapping[str, NDArray[Any]]) -> Probes:
    """Make probes of what a file holds; an error of Python or polars says what is wrong."""
    fitted = {
        name: Probe(
            tuple(about["options"]),
            about["view"],
            members=tuple(about["members"]),
            **{part: tensors[f"{name}.{part}"] for part in ("weights", "bias", "held_out")},
        )
        for name, about in json.loads(metadata["probes"]).items()
    }
    report = pl.read_json(BytesIO(metadata["report"].encode()), schema=REPORT)
    curves = pl.read_json(BytesIO(metadata["curves"].encode()), schema=CURVE)
    parts = dict(json.loads(metadata.get("parts", "{}")))  # files of earlier releases have none
    return Probes(metadata["name"], metadata["encoder"], fitted, report, curves, parts)


def check_encoder(fitted_on: str, encoder: Encoder | str, *, where: str) -> None:
    """Raise ModelError unless `encoder` is the one whose vectors the probes were fitted on."""
    name = encoder if isinstance(encoder, str) else encoder.name
    if fitted_on != name:
        msg = (
            f"{where}: these probes read vectors of {fitted_on!r}, not of {name!r}. Fit them again with"
            " fs.attributes.fit_probes (notebooks/03_attributes.ipynb)."
        )
        raise ModelError(msg)


def probes_name(
    embeddings: pl.DataFrame,
    labels: pl.DataFrame,
    encoder: str,
    *,
    attributes: Mapping[str, AttributeSettings],
    seed: int,
    min_cosine: float = MIN_COSINE,
    prompted: bool = True,
) -> str:
    """Name the probes that these inputs would give, without fitting them.

    `embeddings` may hold keys and fingerprints only. `prompted` says whether zero-shot labels are available: without
    them there is no gain, and no probe is promoted.
    """
    labelled = embeddings.join(labels.select(KEY).unique(), on=KEY, how="semi")
    inputs = {
        "version": FILE_VERSION,
        "encoder": encoder,
        "attributes": describe_value(attributes, unread=UNREAD["facestats.attributes.fit_probes"]),
        "labels": frame_digest(labels),
        "vectors": frame_digest(labelled),
        "seed": seed,
        "min_cosine": min_cosine,
        "prompted": prompted,
    }
    return f"probes@{stage_hash(inputs):016x}"
