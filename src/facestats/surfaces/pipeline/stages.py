"""The stage functions in sequence, from pictures and texts in memory to answers that JSON can hold."""

from __future__ import annotations

import logging
import re
import time
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl

import facestats as fs
from facestats.core.progress import no_bar
from facestats.core.protocols import ModelError
from facestats.core.tables import KEY
from facestats.inputs.listing import SCHEMA
from facestats.pictures.decode import PictureError, open_picture
from facestats.pictures.geometry import transform_points
from facestats.store.fingerprint import describe_stage
from facestats.surfaces.pipeline.landmark_overlay import draw_landmarks
from facestats.surfaces.pipeline.origin import describe_origin, find_unlike
from facestats.surfaces.pipeline.promoted_probes import load_promoted
from facestats.surfaces.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

    from facestats.attributes.probes import Probes
    from facestats.core.config import Config
    from facestats.core.protocols import Encoder, Landmarker, TextClassifier

log = logging.getLogger(__name__)

# version of the answers, as VERSION of a stage; 2: failures of stage 02 became errors; 3: they name their models
VERSION = 3
NO_INPUT = "there is neither a picture nor a text; give one of them"
# the message after the class of an error, which may name folders of the server
_DETAIL = re.compile(r"\((\w+): .*\)", re.DOTALL)

# a picture (the bytes of its file, or why there are none) and a text
Input = tuple[bytes | PictureError | None, str | None]
OnFace: TypeAlias = "Callable[[int, Image.Image, NDArray[np.floating] | None], None]"


class Labeller:
    """Align, embed, label and merge as the notebooks do, and count the seconds of each stage.

    If notebook 03 promoted probes, they are used here too. They are read when the first picture arrives.

    Parameters
    ----------
    config
        Settings of the project.
    landmarker, encoder, classifier
        The models.
    """

    def __init__(
        self, config: Config, *, landmarker: Landmarker, encoder: Encoder, classifier: TextClassifier
    ) -> None:
        self.config = config
        self.landmarker, self.encoder, self.classifier = landmarker, encoder, classifier
        self.seconds: dict[str, float] = {}
        self._lock = Lock()
        self._probes: tuple[Probes | None] | None = None  # None: not read yet

    @property
    def probes(self) -> Probes | None:
        """The promoted probes of the project; None if there are none."""
        with self._lock:
            if self._probes is None:
                file = self.config.probes_file
                self._probes = (load_promoted(file, self.encoder.name, self.config.attributes),)
            return self._probes[0]

    def recipe(self, *, pictures: bool = True, texts: bool = True) -> dict[str, Any]:
        """Describe all that decides an answer besides the input: models with revisions, crop settings, prompts.

        Without `pictures` or `texts`, only what decides the answer to the other: its models are not even looked up.
        """
        config = self.config
        said = describe_stage(
            fs.label_texts,
            {"classifier": self.classifier if texts else None, **fs.text_labels.settings(config)},
        )
        if not pictures:
            return {"answers": VERSION, "texts": said}
        return {
            "answers": VERSION,
            "align": describe_stage(
                fs.align_faces, {"landmarker": self.landmarker, **fs.faces.settings(config)}
            ),
            "embed": describe_stage(fs.embed_faces, {"encoder": self.encoder}),
            "label": describe_stage(
                fs.label_attributes,
                {"encoder": self.encoder, **fs.attributes.settings(config), "probes": self.probes},
            ),
            "texts": said,
            "merge": describe_stage(fs.merge_master, {}),
        }

    def label(self, todo: list[Input], on_face: OnFace | None = None) -> list[dict[str, Any]]:
        """Label a batch; if that fails as a whole, label each input alone, so that only the faulty one fails.

        Parameters
        ----------
        todo
            Pictures and texts.
        on_face
            Is called with each aligned face: the index of its input, the crop, and the landmarks, (n, 2) in pixels of
            the crop, or None. If a batch fails, its faces are aligned and passed again.

        Returns
        -------
        For each input `status`, `error` and `labels`, as JSON values; and `model` and `warning`, if a model answered.

        Raises
        ------
        ModelError
            If a model cannot be loaded.
        OSError
            If the machine is at fault and not an input: no folder for temporary files, no space on the disk.
        ImportError
            If a package is missing.
        """
        try:
            with no_bar():
                return self._label_all(todo, on_face)
        except (ModelError, OSError, MemoryError, ImportError):
            raise
        except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - models raise anything
            if len(todo) == 1:
                log.warning("an input failed: %s: %s", type(error).__name__, error)
                text = f"the models failed on this input ({type(error).__name__}); the log has the details"
                return [{"status": "model_error", "error": text, "labels": {}}]
            return [self.label([one], on_face and _with_index(on_face, i))[0] for i, one in enumerate(todo)]

    def _label_all(self, todo: list[Input], on_face: OnFace | None) -> list[dict[str, Any]]:
        names = [f"{i:06d}" for i in range(len(todo))]
        texts = pl.DataFrame(
            {KEY: names, "text": [text for _, text in todo]}, schema={KEY: pl.String, "text": pl.String}
        )
        said = self._time("text_labels", lambda: self._label_texts(texts))
        pictures = [
            (name, content) for name, (content, _) in zip(names, todo, strict=True) if content is not None
        ]
        seen, unlike = pl.DataFrame(schema={KEY: pl.String}), set[str]()
        if pictures:
            seen, unlike = self._label_pictures(pictures, said, on_face)
        rows = {row[KEY]: row for row in seen.iter_rows(named=True)}
        alone = {row[KEY]: row for row in said.iter_rows(named=True)}
        answers = [
            self._answer(rows[name]) if name in rows else self._answer_text(alone[name]) for name in names
        ]
        return [
            {**answer, **self._origin(answer, text, is_unlike=name in unlike)}
            for name, (_, text), answer in zip(names, todo, answers, strict=True)
        ]

    def _origin(self, answer: dict[str, Any], text: str | None, *, is_unlike: bool) -> dict[str, Any]:
        saw = any(label.get("image") is not None for label in answer["labels"].values())
        return describe_origin(
            encoder=self.encoder if saw else None,
            classifier=self.classifier if (text or "").strip() else None,
            is_unlike=is_unlike,
        )

    def show_face(self, content: bytes) -> Image.Image | None:
        """Align one picture and draw its landmarks on the crop; None if there is no face."""
        with _folders() as (raw, crops), no_bar():
            found = self._align(_write_pictures([("0", content)], raw), crops)
            return next((draw_landmarks(crop, points) for _, crop, points in _crops(found, crops)), None)

    def _align(self, images: pl.DataFrame, crops: Path) -> pl.DataFrame:
        return fs.align_faces(images, self.landmarker, crops, **fs.faces.settings(self.config))

    def _label_texts(self, texts: pl.DataFrame) -> pl.DataFrame:
        there_are = texts["text"].drop_nulls().len() > 0  # a picture alone needs no text model
        classifier = self.classifier if there_are else None
        return fs.label_texts(texts, classifier, **fs.text_labels.settings(self.config))

    def _label_pictures(
        self, pictures: list[tuple[str, bytes | PictureError]], said: pl.DataFrame, on_face: OnFace | None
    ) -> tuple[pl.DataFrame, set[str]]:
        """Send pictures through the stages, merge their labels with those of their texts, and find unlike pictures."""
        attributes = self.config.attributes
        with _folders() as (raw, crops):
            images = _write_pictures(pictures, raw)
            found = self._time("faces", lambda: self._align(images, crops))
            if on_face is not None:
                for index, crop, points in _crops(found, crops):
                    on_face(index, crop, points)
            vectors = self._time(
                "embeddings",
                lambda: fs.embed_faces(
                    found, self.encoder, crops, raw_dir=raw, batch_size=self.config.embeddings.batch_size
                ),
            )
        labels = self._time(
            "attributes",
            lambda: fs.label_attributes(vectors, self.encoder, attributes, probes=self.probes),
        )
        # a picture may fail in stage 02 and not in 01
        found = found.with_columns(vectors["status"], vectors["error"])
        merged = fs.merge_master(found, attributes=labels, text_labels=said.join(found, on=KEY, how="semi"))
        return merged, find_unlike(vectors, self.encoder)

    def _time(self, stage: str, work: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        begun = time.perf_counter()
        result = work()
        with self._lock:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begun
        return result

    def _answer(self, row: dict[str, Any]) -> dict[str, Any]:
        """Turn a row of master into an answer."""
        labels = {}
        for name, attribute in self.config.attributes.items():
            said = (row.get(f"{prefix}{name}_probs") for prefix in ("probe_", "", "text_"))
            probs = next(filter(None, said), ())
            labels[name] = {
                "value": row[name],
                "score": row[f"{name}_score"],
                "source": row[f"{name}_source"],
                "conflict": row[f"{name}_conflict"],
                "image": row[f"image_{name}"],
                "text": row[f"text_{name}"],
                "probs": dict(zip(attribute.options, probs, strict=bool(probs))),
            }
        return {
            "status": row["status"],
            "error": _without_details(row["status"], row["error"]),
            "labels": labels,
        }

    def _answer_text(self, row: dict[str, Any]) -> dict[str, Any]:
        labels = {}
        for name, attribute in self.config.attributes.items():
            value, probs = row[f"text_{name}"], row[f"text_{name}_probs"] or ()
            labels[name] = {
                "value": value,
                "score": row[f"text_{name}_score"],
                "source": None if value is None else "text",
                "text": value,
                "probs": dict(zip(attribute.options, probs, strict=bool(probs))),
            }
        silent = all(row[f"text_{name}_score"] is None for name in self.config.attributes)
        error = NO_INPUT if silent else None
        return {"status": "empty" if silent else "ok", "error": error, "labels": labels}


def _without_details(status: str, error: str | None) -> str | None:
    """Remove the message of a model from an error that other people may read, and write it to the log."""
    if status != "model_error" or error is None:
        return error
    log.warning("an input failed: %s", error)
    return _DETAIL.sub(r"(\1)", error)


def _with_index(on_face: OnFace, index: int) -> OnFace:
    """Replace the index 0 of an input that runs alone by its index in the whole batch."""
    return lambda _, crop, points: on_face(index, crop, points)


def _crops(
    found: pl.DataFrame, crops: Path
) -> Iterator[tuple[int, Image.Image, NDArray[np.floating] | None]]:
    """Open the crops of aligned faces: index of the picture, crop, landmarks in pixels of the crop."""
    rows = found.drop_nulls("crop").select(KEY, "crop", "landmarks", "matrix")
    for name, crop, landmarks, matrix in rows.iter_rows():
        points = None if landmarks is None else transform_points(np.asarray(landmarks), np.asarray(matrix))
        yield int(name), open_picture(crops / crop).image, points


@contextmanager
def _folders() -> Iterator[tuple[Path, Path]]:
    """Make temporary folders for pictures and crops."""
    with temporary_folder() as folder:
        yield folder / "raw", folder / "crops"


def _write_pictures(pictures: list[tuple[str, bytes | PictureError]], raw: Path) -> pl.DataFrame:
    """Write pictures under simple names, and list them as a folder of pictures is listed."""
    raw.mkdir()
    rows: list[tuple[str, str, int, int, str | None, str | None]] = []
    for name, content in pictures:
        if isinstance(content, PictureError):
            rows.append((name, "", 0, 0, content.status, str(content)))
            continue
        (raw / name).write_bytes(content)
        rows.append((name, str(raw / name), len(content), 0, None, None))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
