"""Label one picture, one text or a batch of both: the stage functions of the notebooks behind one object."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import Counter
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import facestats as fs
from facestats.core.config import Config, ConfigError, load_config
from facestats.core.config_source import find_config
from facestats.models.weights import local_only
from facestats.pictures.decode import PictureError
from facestats.surfaces.pipeline.answers import Attributes, CharacterResult, Label
from facestats.surfaces.pipeline.cache import Cache
from facestats.surfaces.pipeline.items import Item, as_items, name_picture, read_image
from facestats.surfaces.pipeline.origin import list_warnings
from facestats.surfaces.pipeline.stages import NO_INPUT, Labeller

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from facestats.core.protocols import Encoder, Landmarker, TextClassifier
    from facestats.surfaces.pipeline.items import AnyInput, AnyPicture
    from facestats.surfaces.pipeline.stages import Input, OnFace

log = logging.getLogger(__name__)


class CharacterPipeline:
    """Label pictures and texts as the notebooks do, one at a time or in batches, and keep the answers in a cache.

    If notebook 03 promoted probes (``probes.safetensors`` beside the tables), they are read once and used here too.
    One difference remains: for a picture that a probe was trained on, the table holds the answer of a fold that had
    not seen the picture, and here the whole probe answers.

    Parameters
    ----------
    config
        Settings, a YAML file, or the folder of a project. None takes ``$FACESTATS_CONFIG``, else the nearest
        ``facestats.yaml``, else the default of facestats, which downloads its models at the first use.
    use_cache
        Whether answers are kept: in ``cache.db`` in the data folder of the project, without a project in the user's
        cache folder. An answer is found again only for the same content, models, crop settings and prompts.
    demo
        Whether to use the demo's toy models, which need no download and know only drawn characters.
    threshold
        Lowest score of a label, 0 to 1. The value of a label whose score is below it is None (null in JSON); its
        score stays. None keeps all labels.
    landmarker, encoder, classifier
        Models to use instead of those that `config` names; they follow the protocols of
        ``facestats.core.protocols``.

    Raises
    ------
    ConfigError
        If the settings cannot be read, or both `config` and `demo` are given.
    ValueError
        If `threshold` is not between 0 and 1.

    Examples
    --------
    The stand-ins of :mod:`facestats.testing` replace the models, so that nothing is downloaded.

    >>> import json, tempfile
    >>> from pathlib import Path
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> models = {name: getattr(project, name) for name in ("landmarker", "encoder", "classifier")}
    >>> settings = {"attributes": {name: a.model_dump() for name, a in project.attributes.items()}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "config.yaml"
    ...     _ = file.write_text(json.dumps(settings))  # JSON is YAML
    ...     pipeline = fs.CharacterPipeline(file, use_cache=False, **models)
    >>> result = pipeline.process_text("An elderly woman with red hair.")
    >>> result.attributes["age"].value, result.attributes["hair_color"].value
    ('elderly', 'red')
    """

    Item = Item

    def __init__(
        self,
        config: Config | str | os.PathLike[str] | None = None,
        use_cache: bool = True,  # noqa: FBT001, FBT002 - the design's signature
        *,
        demo: bool = False,
        threshold: float | None = None,
        landmarker: Landmarker | None = None,
        encoder: Encoder | None = None,
        classifier: TextClassifier | None = None,
    ) -> None:
        if threshold is not None and not 0 <= threshold <= 1:
            msg = f"threshold must be a score between 0 and 1, got {threshold}"
            raise ValueError(msg)
        if isinstance(config, Config) and demo:
            msg = "the demo has settings of its own: leave out either config or demo=True"
            raise ConfigError(msg)
        self.config = config if isinstance(config, Config) else load_config(find_config(config, demo=demo))
        self.threshold = threshold
        self.labeller = Labeller(
            self.config,
            landmarker=landmarker or fs.models.landmarker(self.config.faces),
            encoder=encoder or fs.models.clip(self.config.embeddings),
            classifier=classifier or fs.models.bart(self.config.text_labels),
        )
        self.cache = Cache(self.config.cache_file) if use_cache else None
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def __repr__(self) -> str:
        place = "no cache" if self.cache is None else f"cache={str(self.cache.path or 'in memory')!r}"
        return f"CharacterPipeline({len(self.config.attributes)} attributes, {place})"

    def process_image(
        self, image: AnyPicture, *, text: str | None = None, id: str | None = None
    ) -> CharacterResult:
        """Label one picture, together with a text about it if there is one.

        Parameters
        ----------
        image
            Path of a picture, the bytes of a picture file, a Pillow image, or an array in the order red, green, blue:
            (height, width), (height, width, 3) or (height, width, 4), either uint8 or fractions from 0 to 1.
        text
            A text about the person.
        id
            Name of the answer; by default the file name, or `image` if there is none.

        Returns
        -------
        The answer; `attributes["age"].value` is a label, `status` and `error` say what went wrong with the picture.

        Raises
        ------
        ModelError
            If a model cannot be loaded.
        OSError
            If temporary files cannot be written.
        TypeError
            If `image` is something else.
        """
        return self.process_batch([Item(id or name_picture(image), image, text)])[0]

    def process_text(self, text: str, *, id: str | None = None) -> CharacterResult:
        """Label what one text says about a person.

        Parameters
        ----------
        text
            The text.
        id
            Name of the answer; by default `text`.

        Returns
        -------
        The answer; the value of an attribute that the text does not mention is None.

        Raises
        ------
        ModelError
            If the text model cannot be loaded.
        """
        return self.process_batch([Item(id or "text", None, text)])[0]

    def process_batch(
        self,
        items: Iterable[AnyInput],
        *,
        on_face: OnFace | None = None,
    ) -> list[CharacterResult]:
        """Label many inputs; one that fails does not affect the others.

        Parameters
        ----------
        items
            Inputs, in any mix: pictures as :meth:`process_image` takes them, and ``CharacterPipeline.Item(id, image,
            text)`` for an input that has a name or a text.
        on_face
            Is called with each aligned face: the index of its input, the crop (a Pillow picture), and the landmarks,
            (n, 2) in pixels of the crop, or None. Answers from the cache have no face.

        Returns
        -------
        One answer for each input, in the same order; `error` is None or says what went wrong.

        Raises
        ------
        ModelError
            If a model cannot be loaded.
        OSError
            If temporary files cannot be written.
        TypeError
            If an input is neither a picture nor an `Item`, or `items` is no list.
        """
        started = time.perf_counter()
        inputs = as_items(items)
        contents = [(read_image(item), item.text) for item in inputs]
        answers = {
            i: answer for i, one in enumerate(contents) if (answer := _answer_at_once(*one)) is not None
        }
        keys = self._keys({i: one for i, one in enumerate(contents) if i not in answers})
        found = self._read_cache(keys)
        answers |= {i: found[key] for i, key in keys.items() if key in found}
        answers |= self._compute(
            {i: one for i, one in enumerate(contents) if i not in answers}, keys, on_face
        )
        seconds = (time.perf_counter() - started) / max(len(inputs), 1)
        results = [
            self._result(item.id, answers[i], seconds, cached=keys.get(i) in found)
            for i, item in enumerate(inputs)
        ]
        self._count(results)
        return results

    @property
    def encoder(self) -> Encoder:
        """The encoder of pictures and texts."""
        return self.labeller.encoder

    @property
    def warning(self) -> str | None:
        """What the models say of their limits, if they are the toy models of the demo; None for real models."""
        with local_only():  # a warning is not worth a download
            return " ".join(list_warnings(self.encoder, self.labeller.classifier)) or None

    def get_stats(self) -> dict[str, Any]:
        """Return counts and times since this object was made.

        Returns
        -------
        `processed_count` and `error_count`, numbers of inputs; `cache_stats` with `entries` (answers in the cache, also
        those of earlier runs), `hits` and `misses`; and `seconds` by stage.
        """
        with self._lock:
            n = dict(self._counts)
            seconds = {name: round(value, 4) for name, value in self.labeller.seconds.items()}
        entries = 0 if self.cache is None else len(self.cache)
        return {
            "processed_count": n.get("processed", 0),
            "error_count": n.get("errors", 0),
            "cache_stats": {"entries": entries, "hits": n.get("hits", 0), "misses": n.get("misses", 0)},
            "seconds": seconds,
        }

    def _keys(self, inputs: Mapping[int, Input]) -> dict[int, str]:
        """Make the cache key of each input from all that decides its answer: content, text, models and settings."""
        recipes: dict[tuple[bool, bool], str] = {}
        if self.cache is not None:
            kinds = {(content is not None, text is not None) for content, text in inputs.values()}
            recipes = {
                (saw, said): json.dumps(self.labeller.recipe(pictures=saw, texts=said)) for saw, said in kinds
            }
        keys = {}
        for i, (content, text) in inputs.items():
            image = hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else repr(content)
            recipe = recipes.get((content is not None, text is not None), "")
            keys[i] = hashlib.sha256(json.dumps([image, text, recipe]).encode()).hexdigest()
        return keys

    def _read_cache(self, keys: Mapping[int, str]) -> dict[str, Any]:
        return self.cache.get_many(list(keys.values())) if self.cache is not None and keys else {}

    def _compute(
        self, inputs: Mapping[int, Input], keys: Mapping[int, str], on_face: OnFace | None
    ) -> dict[int, dict[str, Any]]:
        """Label inputs, equal ones only once, and put into the cache what will be the same next time."""
        equal: dict[str, list[int]] = {}
        for i in inputs:
            equal.setdefault(keys[i], []).append(i)
        groups = list(equal.values())

        def pass_on(index: int, crop: Image.Image, points: NDArray[np.floating] | None) -> None:
            if on_face is not None:
                for i in groups[index]:
                    on_face(i, crop, points)

        todo = [inputs[group[0]] for group in groups]
        answers = self.labeller.label(todo, on_face and pass_on) if todo else []
        fresh = dict(zip(equal, answers, strict=True))
        lasting = {key: answer for key, answer in fresh.items() if answer["status"] not in _TRANSIENT}
        if self.cache is not None and lasting:
            self.cache.put_many(lasting)
        return {i: fresh[keys[i]] for i in inputs}

    def _result(
        self, name: str, answer: Mapping[str, Any], seconds: float, *, cached: bool
    ) -> CharacterResult:
        titles = {key: attribute.title for key, attribute in self.config.attributes.items()}
        labels = {key: self._label(answer["labels"].get(key, {"value": None})) for key in titles}
        return CharacterResult(
            name,
            Attributes(labels, titles),
            answer["status"],
            answer["error"],
            seconds,
            cached,
            answer.get("model", {}),
            answer.get("warning"),
        )

    def _label(self, found: Mapping[str, Any]) -> Label:
        """Make a label; the threshold comes after the cache, so that each threshold uses the same answers."""
        label = Label(**found)
        is_low = self.threshold is not None and label.score is not None and label.score < self.threshold
        return replace(label, value=None) if is_low else label

    def _count(self, results: Sequence[CharacterResult]) -> None:
        with self._lock:
            self._counts["processed"] += len(results)
            self._counts["errors"] += sum(r.error is not None for r in results)
            if self.cache is not None:
                self._counts["hits"] += sum(r.cached for r in results)
                self._counts["misses"] += sum(not r.cached for r in results)


# statuses that may differ next time, and are not cached
_TRANSIENT = frozenset(
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


def _answer_at_once(content: bytes | PictureError | None, text: str | None) -> dict[str, Any] | None:
    """Answer an input that holds nothing to label; no model is touched, not even its name."""
    if isinstance(content, bytes) or (text or "").strip():
        return None
    if isinstance(content, PictureError):
        return {"status": content.status, "error": str(content), "labels": {}}
    return {"status": "empty", "error": NO_INPUT, "labels": {}}
