"""Linear probes: an attribute learnt from stored vectors and human labels, kept with what it was tested on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.atomic_write import write_atomically
from facestats.core.protocols import ModelError
from facestats.core.tables import KEY
from facestats.store.fingerprint import describe_value, frame_digest, stage_hash

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facestats.core.config import AttributeSettings
from facestats.core.protocols import Encoder

VERSION = 1
MIN_COSINE = 0.98  # from which on two pictures are one for a test
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
        All options of the attribute, in order; one that nobody labelled has probability 0.
    view
        Which vector it reads: ``face`` or ``full``.
    weights, bias
        (n_options, dim) and (n_options,) float32.
    held_out
        Of each picture it learnt from, the probabilities from the fold that had not seen it,
        (n_labelled, n_options) float32: these may be compared with the label.
    members
        `image_id` of those pictures.
    """

    options: tuple[str, ...]
    view: str
    weights: NDArray[np.float32] = field(repr=False)
    bias: NDArray[np.float32] = field(repr=False)
    held_out: NDArray[np.float32] = field(repr=False)
    members: tuple[str, ...] = field(repr=False)

    def probabilities(self, image_ids: pl.Series, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probability of each option for each vector, (n, n_options); held-out ones where it learnt from it."""
        from scipy.special import softmax

        if vectors.shape[1] != self.weights.shape[1]:
            msg = f"the probe reads {self.weights.shape[1]} dimensions, the vectors have {vectors.shape[1]}"
            raise ModelError(msg)
        logits = vectors.astype(np.float64) @ self.weights.T.astype(np.float64) + self.bias
        out = softmax(logits, axis=1)
        place = {image_id: i for i, image_id in enumerate(self.members)}
        known = [(row, place[i]) for row, i in enumerate(image_ids) if i in place]
        if known:
            rows, places = map(list, zip(*known, strict=True))
            out[rows] = self.held_out[places]
        return out


@dataclass(frozen=True, eq=False)
class Probes:
    """The probes of one collection.

    Parameters
    ----------
    name
        Tells these probes from all others: a hash of labels, vectors, prompts, encoder and settings.
    encoder
        Name of the encoder whose vectors they read.
    fitted
        Per attribute its probe, whether better than zero-shot or not.
    report
        Per attribute with labels: `n` labels, of which `n_tested` count in the test; `accuracy` in
        cross-validation with its 95 % interval, `zero_shot` accuracy on the same rows, `gain` with its interval,
        `promoted`, and `why`.
    curves
        Accuracy by the number of labels learnt from (`n_labels`), with 95 % intervals.
    """

    name: str
    encoder: str
    fitted: Mapping[str, Probe]
    report: pl.DataFrame
    curves: pl.DataFrame

    def __repr__(self) -> str:
        return f"Probes({self.name!r}, fitted={list(self.fitted)}, promoted={list(self.promoted)})"

    @property
    def promoted(self) -> dict[str, Probe]:
        """The probes that label better than the prompts: the interval of their gain lies above zero."""
        better = self.report.filter("promoted")["attribute"].to_list()
        return {name: probe for name, probe in self.fitted.items() if name in better}

    def save(self, file: str | os.PathLike[str]) -> Path:
        """Write all of it to one safetensors file; a process killed meanwhile leaves the old file."""
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
            "format": f"facestats probes {VERSION}",
            "name": self.name,
            "encoder": self.encoder,
            "probes": json.dumps(about, ensure_ascii=False),
            "report": self.report.write_json(),
            "curves": self.curves.write_json(),
        }
        return write_atomically(path, save(tensors, metadata=metadata))


def load_probes(file: str | os.PathLike[str], encoder: Encoder | str) -> Probes:
    """Read the probes that :meth:`Probes.save` wrote.

    Parameters
    ----------
    file
        A safetensors file.
    encoder
        The encoder whose vectors they shall label, or its name.

    Raises
    ------
    ModelError
        If they were fitted on the vectors of another encoder, or the file is none of probes.
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
    if metadata.get("format") != f"facestats probes {VERSION}":
        msg = f"{path} holds {metadata.get('format', 'something else')!r}, expected 'facestats probes {VERSION}'"
        raise ModelError(msg)
    check_encoder(metadata["encoder"], encoder, where=str(path))
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
    return Probes(metadata["name"], metadata["encoder"], fitted, report, curves)


def check_encoder(fitted_on: str, encoder: Encoder | str, *, where: str) -> None:
    """Raise ModelError unless probes fitted on the vectors of one encoder meet the same encoder."""
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
    """Name the probes that these inputs give, without fitting them; `embeddings` may be keys and fingerprints.

    `prompted` says whether the prompts were at hand: without them there is no gain, and no probe is promoted.
    """
    learnt_from = embeddings.join(labels.select(KEY).unique(), on=KEY, how="semi")
    inputs = {
        "version": VERSION,
        "encoder": encoder,
        "attributes": describe_value(attributes),
        "labels": frame_digest(labels),
        "vectors": frame_digest(learnt_from),
        "seed": seed,
        "min_cosine": min_cosine,
        "prompted": prompted,
    }
    return f"probes@{stage_hash(inputs):016x}"
