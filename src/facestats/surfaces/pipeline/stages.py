"""The stage functions in a row, from pictures and texts in memory to answers that JSON can hold."""

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

# of the answers, as VERSION is of a stage; 2: failures of stage 02, which used to be answers without labels
VERSION = 2
_DETAIL = re.compile(
    r"\((\w+): .*\)", re.DOTALL
)  # behind the kind of an error: may name folders of the server

# a picture (its file's bytes, or why there are none) and a text
Input = tuple[bytes | PictureError | None, str | None]
OnFace: TypeAlias = "Callable[[int, Image.Image, NDArray[np.floating] | None], None]"


class Labeller:
    """Aligns, embeds, labels and merges as the notebooks do; counts the seconds of each stage.

    Where notebook 03 promoted probes, they label here as well. They are read when the first picture comes.

    Parameters
    ----------
    config
        Settings.
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
        self._probes: tuple[Probes | None] | None = None  # not yet looked for

    @property
    def probes(self) -> Probes | None:
        """The promoted probes of the collection, if any."""
        with self._lock:
            if self._probes is None:
                file = self.config.probes_file
                self._probes = (load_promoted(file, self.encoder.name, self.config.attributes),)
            return self._probes[0]

    def recipe(self) -> dict[str, Any]:
        """Everything that decides an answer besides the input: models with revisions, crop settings, prompts."""
        config = self.config
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
            "texts": describe_stage(
                fs.label_texts, {"classifier": self.classifier, **fs.text_labels.settings(config)}
            ),
            "merge": describe_stage(fs.merge_master, {}),
        }

    def label(self, todo: list[Input], on_face: OnFace | None = None) -> list[dict[str, Any]]:
        """Compute a batch; where that fails as a whole, each input alone, so that only the guilty one fails.

        Parameters
        ----------
        todo
            Pictures and texts.
        on_face
            Gets each aligned face while it is there: the place of its input, the crop, and the landmarks on it,
            (n, 2) in its pixels, or None. A batch that fails is aligned again, and its faces come again.

        Raises
        ------
        ModelError
            If a model cannot be had.
        OSError
            If the machine is at fault, not an input: no folder for temporary files, no space.
        """
        try:
            with no_bar():
                return self._label_all(todo, on_face)
        except (ModelError, OSError, MemoryError):
            raise
        except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - models raise anything
            if len(todo) == 1:
                log.warning("an input failed: %s: %s", type(error).__name__, error)
                text = f"the models failed on this input ({type(error).__name__}); the log says more"
                return [{"status": "model_error", "error": text, "labels": {}}]
            return [self.label([one], on_face and _at(on_face, i))[0] for i, one in enumerate(todo)]

    def _label_all(self, todo: list[Input], on_face: OnFace | None) -> list[dict[str, Any]]:
        names = [f"{i:06d}" for i in range(len(todo))]
        texts = pl.DataFrame(
            {KEY: names, "text": [text for _, text in todo]}, schema={KEY: pl.String, "text": pl.String}
        )
        said = self._time("text_labels", lambda: self._label_texts(texts))
        pictures = [
            (name, content) for name, (content, _) in zip(names, todo, strict=True) if content is not None
        ]
        seen = pl.DataFrame(schema={KEY: pl.String})
        if pictures:
            seen = self._label_pictures(pictures, said, on_face)
        rows = {row[KEY]: row for row in seen.iter_rows(named=True)}
        alone = {row[KEY]: row for row in said.iter_rows(named=True)}
        return [
            self._answer(rows[name]) if name in rows else self._answer_text(alone[name]) for name in names
        ]

    def show_face(self, content: bytes) -> Image.Image | None:
        """Align one picture whose answer is known, and draw its landmarks on the crop; None where there is no face."""
        with _folders() as (raw, crops), no_bar():
            found = self._align(_write_pictures([("0", content)], raw), crops)
            return next((draw_landmarks(crop, points) for _, crop, points in _crops(found, crops)), None)

    def _align(self, images: pl.DataFrame, crops: Path) -> pl.DataFrame:
        return fs.align_faces(images, self.landmarker, crops, **fs.faces.settings(self.config))

    def _label_texts(self, texts: pl.DataFrame) -> pl.DataFrame:
        return fs.label_texts(texts, self.classifier, **fs.text_labels.settings(self.config))

    def _label_pictures(
        self, pictures: list[tuple[str, bytes | PictureError]], said: pl.DataFrame, on_face: OnFace | None
    ) -> pl.DataFrame:
        """Put pictures through the stages, and merge them with what their texts say."""
        attributes = self.config.attributes
        with _folders() as (raw, crops):
            images = _write_pictures(pictures, raw)
            found = self._time("faces", lambda: self._align(images, crops))
            if on_face is not None:
                for place, crop, points in _crops(found, crops):
                    on_face(place, crop, points)
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
        found = found.with_columns(
            vectors["status"], vectors["error"]
        )  # stage 02 may have failed where 01 did not
        return fs.merge_master(found, attributes=labels, text_labels=said.join(found, on=KEY, how="semi"))

    def _time(self, stage: str, work: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        begun = time.perf_counter()
        result = work()
        with self._lock:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begun
        return result

    def _answer(self, row: dict[str, Any]) -> dict[str, Any]:
        """Turn a row of master into what the cache holds."""
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
        return {"status": row["status"], "error": _outward(row["status"], row["error"]), "labels": labels}

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
        error = "there is neither a picture nor a text; give one of them" if silent else None
        return {"status": "empty" if silent else "ok", "error": error, "labels": labels}


def _outward(status: str, error: str | None) -> str | None:
    """Say what went wrong as others may read it; what a model said of it goes to the log."""
    if status != "model_error" or error is None:
        return error
    log.warning("an input failed: %s", error)
    return _DETAIL.sub(r"(\1)", error)


def _at(on_face: OnFace, place: int) -> OnFace:
    """Say of the only input of a batch which one it is of another."""
    return lambda _, crop, points: on_face(place, crop, points)


def _crops(
    found: pl.DataFrame, crops: Path
) -> Iterator[tuple[int, Image.Image, NDArray[np.floating] | None]]:
    """Open the faces that were aligned: place of the picture, crop, landmarks in its pixels."""
    rows = found.drop_nulls("crop").select(KEY, "crop", "landmarks", "matrix")
    for name, crop, landmarks, matrix in rows.iter_rows():
        points = None if landmarks is None else transform_points(np.asarray(landmarks), np.asarray(matrix))
        yield int(name), open_picture(crops / crop).image, points


@contextmanager
def _folders() -> Iterator[tuple[Path, Path]]:
    """Give folders for pictures and crops, for as long as the block lasts."""
    with temporary_folder() as folder:
        yield folder / "raw", folder / "crops"


def _write_pictures(pictures: list[tuple[str, bytes | PictureError]], raw: Path) -> pl.DataFrame:
    """Lay pictures down under plain names, as a folder of pictures would be listed."""
    raw.mkdir()
    rows: list[tuple[str, str, int, int, str | None, str | None]] = []
    for name, content in pictures:
        if isinstance(content, PictureError):
            rows.append((name, "", 0, 0, content.status, str(content)))
            continue
        (raw / name).write_bytes(content)
        rows.append((name, str(raw / name), len(content), 0, None, None))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
