"""A trained model of ratings, stored as safetensors and JSON in a folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from facestats.core.atomic_write import write_atomically
from facestats.core.protocols import ModelError
from facestats.ratings.regression import FeatureMap, apply_layers, spread_at

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facestats.core.protocols import Layers

SPEC, WEIGHTS = "model.json", "model.safetensors"
KIND = "facestats ratings model 1"
SEPARATOR = " + "  # between the names of several models
MAX_SPEC_BYTES = 1_000_000
REFERENCE_QUANTILES = (0.5, 0.9, 0.95, 0.99)  # of the distances of held-out faces


@dataclass(frozen=True)
class RatingsModel:
    """Predicts the mean rating of a trait from stored vectors.

    It holds no picture and no vector of a training face, only sums over all of them.

    Parameters
    ----------
    trait, unit, scale
        What was rated, the unit of the ratings, and the lowest and highest possible rating.
    encoder
        Name of the encoder that made the vectors.
    dims
        Columns of vectors that the model reads, and their dimensions.
    features, layers
        The fitted function: from vectors to features, and from features to the rating.
    spread
        The standard deviation of a prediction at distance d is the square root of spread[0] + spread[1] d^2.
    width, level
        The interval of `width` standard deviations around the prediction covers the share `level` of new faces.
    reference
        Quantiles `REFERENCE_QUANTILES` of the distances of held-out faces. A face beyond the last one is out of
        distribution.
    facts
        Facts about the training: regressor, numbers of faces and raters, held-out measures, ceiling.
    """

    trait: str
    unit: str
    scale: tuple[float, float]
    encoder: str
    dims: dict[str, int]
    features: FeatureMap = field(repr=False)
    layers: Layers = field(repr=False)
    spread: tuple[float, float]
    width: float
    level: float
    reference: tuple[float, ...]
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Trait and hash of the weights; tables made by the model are stale when it changes."""
        digest = hashlib.sha256()
        for key, values in sorted(self._arrays().items()):
            digest.update(key.encode() + values.tobytes())
        digest.update(json.dumps(self._spec(), sort_keys=True).encode())
        return f"ratings:{self.trait}@{digest.hexdigest()[:12]}"

    @property
    def needs_landmarks(self) -> bool:
        """Whether the model reads the column `landmarks` in addition to the vectors."""
        return self.features.has_shapes

    def __repr__(self) -> str:
        low, high = self.scale
        facts = "".join(f", {name}={value}" for name, value in self.facts.items())
        return f"RatingsModel({self.trait}, {low:g} to {high:g} {self.unit}, encoder {self.encoder!r}{facts})"

    def predict(self, blocks: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray]:
        """Predict from arrays; :func:`facestats.ratings.rate_faces` does the same for a table.

        Parameters
        ----------
        blocks
            An array of n rows per column: those of `dims`, and `landmarks` if `needs_landmarks`.

        Returns
        -------
        `value`, `low` and `high` (scale points), `sd` (standard deviation) and `ood` (out of distribution), each (n,).
        """
        x = self.features.apply(blocks)
        value, distance = apply_layers(self.layers, x), self.features.distance(x)
        sd = spread_at(np.array(self.spread), distance)
        low, high = value - self.width * sd, value + self.width * sd
        inside = {k: np.clip(v, *self.scale) for k, v in (("value", value), ("low", low), ("high", high))}
        return {**inside, "sd": sd, "ood": distance > self.reference[-1]}

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``model.safetensors`` and ``model.json``.

        Parameters
        ----------
        folder
            Folder of this model; it is made if it is missing.

        Returns
        -------
        The folder.
        """
        from safetensors.numpy import save

        target = Path(folder)
        arrays = {k: np.ascontiguousarray(v) for k, v in self._arrays().items()}
        # the description comes last: without it the folder does not count as a model
        write_atomically(target / WEIGHTS, save(arrays))
        text = json.dumps({"kind": KIND, "name": self.name, **self._spec()}, indent=2)
        write_atomically(target / SPEC, text + "\n")
        return target

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read a saved model; :func:`facestats.ratings.load_model` also checks the encoder.

        Parameters
        ----------
        folder
            Folder that :meth:`save` wrote.

        Returns
        -------
        The model.

        Raises
        ------
        ModelError
            If the files are missing, damaged, or do not belong together.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        target = Path(folder)
        spec = _read_spec(target / SPEC)
        try:
            arrays = load_file(target / WEIGHTS)
            parts = {k.partition("/")[2]: v for k, v in arrays.items() if k.startswith("features/")}
            pairs = [(arrays[f"weight/{i}"], arrays[f"bias/{i}"]) for i in range(int(spec["n_layers"]))]
            if not all(np.isfinite(v).all() for v in arrays.values()):
                msg = "it holds NaN or infinity"
                raise ValueError(msg)
            model = cls(
                features=FeatureMap(tuple(spec["dims"]), parts),
                layers=pairs,
                scale=(float(spec["scale"][0]), float(spec["scale"][1])),
                spread=(float(spec["spread"][0]), float(spec["spread"][1])),
                reference=tuple(float(q) for q in spec["reference_distances"].values()),
                dims={k: int(v) for k, v in spec["dims"].items()},
                **{k: spec[k] for k in ("trait", "unit", "encoder", "width", "level", "facts")},
            )
        except (
            SafetensorError,
            OSError,
            KeyError,
            ValueError,
            TypeError,
            AttributeError,
            IndexError,
        ) as error:
            msg = (
                f"the ratings model in {target} cannot be read: {error}. Train it again with fs.fit_ratings."
            )
            raise ModelError(msg) from error
        if model.name != spec["name"]:
            msg = f"{target}: {SPEC} and {WEIGHTS} do not belong together. Train the model again with fs.fit_ratings."
            raise ModelError(msg)
        return model

    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        layers = {
            f"{kind}/{i}": part
            for i, pair in enumerate(self.layers)
            for kind, part in zip(("weight", "bias"), pair, strict=True)
        }
        return layers | {f"features/{k}": v for k, v in self.features.arrays.items()}

    def _spec(self) -> dict[str, Any]:
        return {
            "trait": self.trait,
            "unit": self.unit,
            "scale": list(self.scale),
            "encoder": self.encoder,
            "dims": self.dims,
            "landmarks": self.needs_landmarks,
            "n_layers": len(self.layers),
            "spread": list(self.spread),
            "width": self.width,
            "level": self.level,
            "reference_distances": {
                str(q): v for q, v in zip(REFERENCE_QUANTILES, self.reference, strict=True)
            },
            "facts": dict(self.facts),
        }


@dataclass(frozen=True)
class RatingsModels:
    """Models of several traits that are applied together; that of one trait has the name of its model.

    Parameters
    ----------
    models
        One model per trait.
    """

    models: tuple[RatingsModel, ...]

    @property
    def name(self) -> str:
        """Names of all models; tables made by them are stale when one changes."""
        return SEPARATOR.join(model.name for model in self.models)


def _read_spec(file: Path) -> dict[str, Any]:
    if not file.is_file():
        msg = (
            f"there is no ratings model in {file.parent}: the file {SPEC} is missing. Train one with fs.fit_ratings"
            " (notebooks/05_ratings.ipynb)."
        )
        raise ModelError(msg)
    try:
        text = file.read_bytes()[: MAX_SPEC_BYTES + 1].decode()
        spec = json.loads(text)
        found = spec.get("kind")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        msg = f"{file} cannot be read: {error}. Train the model again with fs.fit_ratings."
        raise ModelError(msg) from error
    if found != KIND:
        msg = f"{file} describes {found!r}, expected {KIND!r}. Train the model again with fs.fit_ratings."
        raise ModelError(msg)
    return spec


def same_encoder(a: str, b: str) -> bool:
    """Whether two encoder names mean the same weights; the precision after the last space may differ."""
    return a.rpartition(" ")[0 if " " in a else 2] == b.rpartition(" ")[0 if " " in b else 2]
