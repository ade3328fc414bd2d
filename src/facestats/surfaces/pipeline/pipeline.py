"""One picture, one sentence, or a batch of both: the stage functions of the notebooks behind one object."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import facestats as fs
from facestats.core.config import Config
from facestats.pictures.decode import PictureError, read_picture_bytes
from facestats.pictures.paths import picture_path
from facestats.surfaces.pipeline.answers import Attributes, CharacterResult, Label
from facestats.surfaces.pipeline.cache import Cache
from facestats.surfaces.pipeline.stages import Labeller

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from facestats.core.protocols import Encoder, Landmarker, TextClassifier
    from facestats.surfaces.pipeline.stages import Input, OnFace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One input: a picture (path, or the bytes of a file), a text, or both; `id` is what the answer is called by."""

    id: str
    image: str | os.PathLike[str] | bytes | None = None
    text: str | None = None


class CharacterPipeline:
    """Labels pictures and texts as the notebooks do, one at a time or in batches, and remembers the answers.

    Probes that notebook 03 promoted (``probes.safetensors`` beside the tables) count here as they do there; they are
    read once. A picture that a probe learnt from gets the answer of the whole probe, where the table has that of the
    fold that had not seen it.

    Parameters
    ----------
    config
        Settings, a YAML file, or None for ``$FACESTATS_CONFIG``, else ``config/demo.yaml``.
    use_cache
        Whether answers are kept in ``cache.db`` below the data folder, by content, models, crop recipe and prompts.
    landmarker, encoder, classifier
        Models in place of those of `config`.
    """

    def __init__(
        self,
        config: Config | str | os.PathLike[str] | None = None,
        use_cache: bool = True,  # noqa: FBT001, FBT002 - the design's signature
        *,
        landmarker: Landmarker | None = None,
        encoder: Encoder | None = None,
        classifier: TextClassifier | None = None,
    ) -> None:
        self.config = config if isinstance(config, Config) else fs.load_config(config)
        self.labeller = Labeller(
            self.config,
            landmarker=landmarker or fs.models.landmarker(self.config.faces),
            encoder=encoder or fs.models.clip(self.config.embeddings),
            classifier=classifier or fs.models.bart(self.config.text_labels),
        )
        self.cache = Cache(self.config.cache_file) if use_cache else None
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def process_image(
        self, image: str | os.PathLike[str] | bytes, *, text: str | None = None, id: str | None = None
    ) -> CharacterResult:
        """Label one picture, and its text if there is one.

        Parameters
        ----------
        image
            Path of a picture, or the bytes of a picture file.
        text
            A caption.
        id
            What the answer is called by; the file name by default.
        """
        return self.process_batch([Item(id or _name(image), image, text)])[0]

    def process_text(self, text: str, *, id: str | None = None) -> CharacterResult:
        """Label what one text says about a character."""
        return self.process_batch([Item(id or "text", None, text)])[0]

    def process_batch(
        self,
        items: Iterable[Item | str | os.PathLike[str] | bytes],
        *,
        on_face: OnFace | None = None,
    ) -> list[CharacterResult]:
        """Label many inputs: one answer each, in order; one that fails says so and harms no other.

        Parameters
        ----------
        items
            :class:`Item`, or paths or bytes of pictures.
        on_face
            Called with the place of an input, its aligned face (a Pillow picture) and the landmarks on it, (n, 2) in
            pixels of the face or None, while the face is there; not for answers from the cache.
        """
        begun = time.perf_counter()
        inputs = [item if isinstance(item, Item) else Item(_name(item), item) for item in items]
        read = [(_read(item), item.text) for item in inputs]
        answers = {i: answer for i, one in enumerate(read) if (answer := _answer_at_once(*one)) is not None}
        keys = self._keys({i: one for i, one in enumerate(read) if i not in answers})
        found = self._recall(keys)
        answers |= {i: found[key] for i, key in keys.items() if key in found}
        answers |= self._compute({i: one for i, one in enumerate(read) if i not in answers}, keys, on_face)
        seconds = (time.perf_counter() - begun) / max(len(inputs), 1)
        results = [
            _result(item.id, answers[i], self._titles(), seconds, cached=keys.get(i) in found)
            for i, item in enumerate(inputs)
        ]
        self._count(results)
        return results

    @property
    def encoder(self) -> Encoder:
        """The picture and text encoder."""
        return self.labeller.encoder

    def get_stats(self) -> dict[str, Any]:
        """Return processed, errors, cache_hits, cache_misses, cache_entries, and seconds per stage since the start."""
        with self._lock:
            counts = {
                name: self._counts[name] for name in ("processed", "errors", "cache_hits", "cache_misses")
            }
            seconds = {name: round(value, 4) for name, value in self.labeller.seconds.items()}
        return {**counts, "cache_entries": 0 if self.cache is None else len(self.cache), "seconds": seconds}

    def _titles(self) -> dict[str, str]:
        return {name: attribute.title for name, attribute in self.config.attributes.items()}

    def _keys(self, inputs: Mapping[int, Input]) -> dict[int, str]:
        """Name answers by all that decides them; a failure to read is not remembered under a content."""
        recipe = json.dumps(self.labeller.recipe()) if inputs and self.cache is not None else ""
        keys = {}
        for i, (content, text) in inputs.items():
            image = hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else repr(content)
            keys[i] = hashlib.sha256(json.dumps([image, text, recipe]).encode()).hexdigest()
        return keys

    def _recall(self, keys: Mapping[int, str]) -> dict[str, Any]:
        return self.cache.get_many(list(keys.values())) if self.cache is not None and keys else {}

    def _compute(
        self, inputs: Mapping[int, Input], keys: Mapping[int, str], on_face: OnFace | None
    ) -> dict[int, dict[str, Any]]:
        """Label inputs, equal ones once, and remember what will be the same next time."""
        alike: dict[str, list[int]] = {}
        for i in inputs:
            alike.setdefault(keys[i], []).append(i)
        groups = list(alike.values())

        def hand_out(place: int, crop: Image.Image, points: NDArray[np.floating] | None) -> None:
            if on_face is not None:
                for i in groups[place]:
                    on_face(i, crop, points)

        todo = [inputs[group[0]] for group in groups]
        answers = self.labeller.label(todo, on_face and hand_out) if todo else []
        fresh = dict(zip(alike, answers, strict=True))
        lasting = {key: answer for key, answer in fresh.items() if answer["status"] not in _PASSING}
        if self.cache is not None and lasting:
            self.cache.put_many(lasting)
        return {i: fresh[keys[i]] for i in inputs}

    def _count(self, results: Sequence[CharacterResult]) -> None:
        with self._lock:
            self._counts["processed"] += len(results)
            self._counts["errors"] += sum(r.error is not None for r in results)
            if self.cache is not None:
                self._counts["cache_hits"] += sum(r.cached for r in results)
                self._counts["cache_misses"] += sum(not r.cached for r in results)


# what may be otherwise next time: not worth remembering
_PASSING = frozenset(
    {
        "vanished",
        "changed_during_run",
        "permission_denied",
        "unreadable",
        "decode_crash",
        "decode_memory",
        "decode_timeout",
        "model_error",
    }
)


def _name(image: str | os.PathLike[str] | bytes) -> str:
    return "image" if isinstance(image, bytes) else Path(image).name


def _read(item: Item) -> bytes | PictureError | None:
    """Bytes of a picture file, or why there are none."""
    if item.image is None or isinstance(item.image, bytes):
        return item.image
    try:
        return read_picture_bytes(picture_path(str(item.image)))
    except PictureError as error:
        gone = error.status == "vanished"
        return (
            PictureError(status="vanished", text="there is no such file; check the path") if gone else error
        )


def _answer_at_once(content: bytes | PictureError | None, text: str | None) -> dict[str, Any] | None:
    """Answer an input that holds nothing to label, which takes neither models nor their names."""
    if isinstance(content, bytes) or (text or "").strip():
        return None
    if isinstance(content, PictureError):
        return {"status": content.status, "error": str(content), "labels": {}}
    error = "there is neither a picture nor a text; give one of them"
    return {"status": "empty", "error": error, "labels": {}}


def _result(
    name: str, answer: dict[str, Any], titles: dict[str, str], seconds: float, *, cached: bool
) -> CharacterResult:
    empty: dict[str, Any] = {"value": None}
    labels = {key: Label(**answer["labels"].get(key, empty)) for key in titles}
    return CharacterResult(
        name, Attributes(labels, titles), answer["status"], answer["error"], seconds, cached
    )
