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
from facestats.core.cache import Cache
from facestats.core.config import Config
from facestats.core.images import PictureError, read_picture_bytes
from facestats.core.listing import picture_path
from facestats.surfaces.labeller import Labeller
from facestats.surfaces.results import Attributes, CharacterResult, Label

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from facestats.core.protocols import Encoder, Landmarker, TextClassifier

log = logging.getLogger(__name__)

CACHE_FILE = "cache.db"


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
        self.cache = Cache(self.config.data_dir / CACHE_FILE) if use_cache else None
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

    def process_batch(self, items: Iterable[Item | str | os.PathLike[str] | bytes]) -> list[CharacterResult]:
        """Label many inputs: one answer each, in order; one that fails says so and harms no other.

        Parameters
        ----------
        items
            :class:`Item`, or paths or bytes of pictures.
        """
        begun = time.perf_counter()
        inputs = [item if isinstance(item, Item) else Item(_name(item), item) for item in items]
        read = [_read(item) for item in inputs]
        keys = [self._key(content, item.text) for content, item in zip(read, inputs, strict=True)]
        found = self._recall(keys)
        missing = {key: i for i, key in reversed(list(enumerate(keys))) if key not in found}
        todo = [(read[i], inputs[i].text) for i in missing.values()]
        fresh = dict(zip(missing, self.labeller.label(todo), strict=True)) if todo else {}
        if self.cache is not None:
            lasting = {key: answer for key, answer in fresh.items() if answer["status"] not in _PASSING}
            self.cache.put_many(lasting)
        seconds = (time.perf_counter() - begun) / max(len(inputs), 1)
        answers = {**found, **fresh}
        results = [
            _result(item.id, answers[key], self._titles(), seconds, cached=key in found)
            for item, key in zip(inputs, keys, strict=True)
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
        return {**counts, "cache_entries": len(self.cache) if self.cache else 0, "seconds": seconds}

    def _titles(self) -> dict[str, str]:
        return {name: attribute.title for name, attribute in self.config.attributes.items()}

    def _key(self, content: bytes | PictureError | None, text: str | None) -> str:
        """Name an answer by all that decides it; a failure to read is not remembered under a content."""
        image = hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else repr(content)
        recipe = json.dumps(self.labeller.recipe(), sort_keys=False)
        return hashlib.sha256(json.dumps([image, text, recipe]).encode()).hexdigest()

    def _recall(self, keys: list[str]) -> dict[str, Any]:
        return self.cache.get_many(keys) if self.cache is not None else {}

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


def _result(
    name: str, answer: dict[str, Any], titles: dict[str, str], seconds: float, *, cached: bool
) -> CharacterResult:
    empty: dict[str, Any] = {"value": None}
    labels = {key: Label(**answer["labels"].get(key, empty)) for key in titles}
    return CharacterResult(
        name, Attributes(labels, titles), answer["status"], answer["error"], seconds, cached
    )
