"""Write the drawn gallery: a folder of pictures with known truth, captions and ratings, hard cases included."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from facestats.demo.drawing.backdrop import draw_nobody
from facestats.demo.drawing.character import paint_character
from facestats.demo.records import OPTIONS, sample_records

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SCENE_COLUMNS = (
    "yaw",
    "pitch",
    "roll",
    "smile",
    "light",
    "warmth",
    "exposure",
    "ipd",
    "noise",
    "quality",
    "backdrop",
)
PREFIX = {
    "character": "character",
    "no_face": "scene",
    "two_faces": "pair",
    "near_duplicate": "copy",
    "unreadable": "broken",
}


@dataclass(frozen=True)
class Sheet:
    """One picture to draw.

    Parameters
    ----------
    kind
        ``character``, ``near_duplicate``, ``two_faces``, ``no_face`` or ``unreadable``.
    number
        Number among the pictures of its kind; that of a near-duplicate is the number of its original.
    seed
        Source of chance.
    style
        "train" or "eval".
    records
        The option of each attribute, one record per character in the picture.
    """

    kind: str
    number: int
    seed: int
    style: str
    records: tuple[Mapping[str, str | None], ...] = ()

    @property
    def file_name(self) -> str:
        """Name of the picture file."""
        return f"{PREFIX[self.kind]}_{self.number:05d}.jpg"


def plan_gallery(n: int, *, seed: int, style: str = "eval") -> list[Sheet]:
    """List the pictures of a gallery of `n` characters.

    Parameters
    ----------
    n
        Number of characters. Added are a picture without a face and a near-duplicate per 60 characters, a picture
        with two faces per 80, and one unreadable file.
    seed
        The same seed gives the same pictures.
    style
        "train" or "eval": combinations of attributes and scenes of one never occur in the other.

    Returns
    -------
    list of Sheet
        Characters first; the same for the same arguments.
    """
    records = sample_records(n, seed=seed, style=style)
    base = seed * 1_000_003
    sheets = [Sheet("character", k, base + k, style, (record,)) for k, record in enumerate(records)]
    if n:
        few = max(2, n // 60)
        copies = range(0, n, max(1, n // few))[:few]
        sheets += [Sheet("near_duplicate", k, base + k, style, (records[k],)) for k in copies]
        pairs = max(2, n // 80)
        people = sample_records(2 * pairs, seed=seed + 1, style=style)
        sheets += [
            Sheet("two_faces", k, base + 500_000 + 2 * k, style, tuple(people[2 * k : 2 * k + 2]))
            for k in range(pairs)
        ]
    sheets += [Sheet("no_face", k, base + 600_000 + k, style) for k in range(max(3, n // 60))]
    return [*sheets, Sheet("unreadable", 0, base, style)]


def _encode(pixels: np.ndarray, quality: int) -> bytes:
    """Return the bytes of a JPEG picture."""
    return cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def render(sheet: Sheet) -> tuple[bytes, dict[str, tuple[float, float]], dict[str, float]]:
    """Draw one picture of the gallery.

    Parameters
    ----------
    sheet
        What to draw.

    Returns
    -------
    tuple
        Bytes of the file; the landmarks if there is one character, name to (x, y) in pixels, else none; the
        values of `SCENE_COLUMNS`, for the kinds ``character`` and ``near_duplicate``.
    """
    if sheet.kind == "no_face":
        return _encode(draw_nobody(np.random.default_rng(sheet.seed)), 90), {}, {}
    if sheet.kind == "unreadable":
        return b"This is not a picture, whatever its name says.\n", {}, {}
    if sheet.kind == "two_faces":
        halves = [
            paint_character(record, seed=sheet.seed + k, style=sheet.style)[0][:, 128:384]
            for k, record in enumerate(sheet.records)
        ]
        return _encode(np.hstack(halves), 92), {}, {}
    pixels, landmarks, scene = paint_character(sheet.records[0], seed=sheet.seed, style=sheet.style)
    known = {name: round(float(getattr(scene, name)), 4) for name in SCENE_COLUMNS}
    if sheet.kind == "near_duplicate":  # cropped by a few pixels, resized, brighter, more compressed
        pixels = cv2.resize(pixels[3:-3, 3:-3], (512, 512), interpolation=cv2.INTER_AREA)
        return _encode(cv2.convertScaleAbs(pixels, alpha=1.02, beta=2), 70), {}, known
    return _encode(pixels, scene.quality), landmarks, known


def _write_chunk(folder: str, sheets: Sequence[Sheet]) -> list[tuple[dict, dict]]:
    """Draw and write some pictures; return the landmarks and the scene of each."""
    n_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the workers draw in parallel already
    try:
        found = []
        for sheet in sheets:
            data, landmarks, known = render(sheet)
            (Path(folder) / sheet.file_name).write_bytes(data)
            found.append((landmarks, known))
        return found
    finally:
        cv2.setNumThreads(n_threads)


def _row(sheet: Sheet, known: Mapping[str, float], seed: int) -> dict[str, Any]:
    """Return a picture's row of metadata.csv."""
    from facestats.demo.writing.captions import write_caption

    row: dict[str, Any] = {"file_name": sheet.file_name, "text": "", "kind": sheet.kind}
    truth: Mapping[str, str | None] = {}
    said: Mapping[str, str | None] = {}
    if sheet.kind == "character":
        truth = sheet.records[0]
        caption = write_caption(truth, np.random.default_rng([seed, 3, sheet.number]), split=sheet.style)
        row["text"], said = caption.text, caption.said
    row |= {f"true_{name}": truth.get(name) or "" for name in OPTIONS}
    row |= {f"said_{name}": said.get(name) or "" for name in OPTIONS}
    return (
        row
        | {"style": sheet.style, "seed": sheet.seed}
        | {name: known.get(name, "") for name in SCENE_COLUMNS}
    )


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that have the same keys."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_landmarks(path: Path, sheets: Sequence[Sheet], found: Sequence[tuple[dict, dict]]) -> None:
    """Write the true landmarks in long form: image_id, landmark, x, y (pixels)."""
    import polars as pl

    rows = [
        (sheet.file_name, name, x, y)
        for sheet, (landmarks, _) in zip(sheets, found, strict=True)
        for name, (x, y) in landmarks.items()
    ]
    schema = {"image_id": pl.String, "landmark": pl.String, "x": pl.Float32, "y": pl.Float32}
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(path)


def _write_ratings(
    path: Path, sheets: Sequence[Sheet], found: Sequence[tuple[dict, dict]], *, seed: int
) -> None:
    """Write the ratings of the characters by simulated raters: image_id, rater_id, rating."""
    from facestats.demo.raters import simulate_ratings

    rated = [(s, f) for s, f in zip(sheets, found, strict=True) if s.kind == "character"]
    records = [{**s.records[0], "smile": max(known["smile"], 0.0)} for s, (_, known) in rated]
    given = simulate_ratings(records, seed=seed, share=0.6)
    rows = [
        {"image_id": rated[item][0].file_name, "rater_id": f"rater_{rater:02d}", "rating": f"{rating:g}"}
        for item, rater, rating in zip(given.item, given.rater, given.rating, strict=True)
    ]
    _write_csv(path, rows or [{"image_id": "", "rater_id": "", "rating": ""}])


def write_gallery(
    folder: str | Path,
    *,
    n: int = 240,
    seed: int = 0,
    style: str = "eval",
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a gallery of drawn characters in Hugging Face imagefolder form.

    Parameters
    ----------
    folder
        Created if missing; the pictures, `metadata.csv`, `ratings.csv` and `landmarks.parquet` are written there.
    n
        Number of characters; :func:`plan_gallery` says what is added.
    seed
        The same seed writes the same bytes, whatever the number of workers.
    style
        "eval" (the tiny models were not trained on it) or "train".
    workers
        Number of processes that draw.
    progress
        Called with the number of pictures drawn and the number of all pictures.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sheets = plan_gallery(n, seed=seed, style=style)
    chunks = [sheets[k : k + 16] for k in range(0, len(sheets), 16)]
    found: list[tuple[dict, dict]] = []
    if workers > 1 and len(chunks) > 1:
        from loky import get_reusable_executor

        results = get_reusable_executor(max_workers=workers).map(
            _write_chunk, [str(folder)] * len(chunks), chunks
        )
    else:
        results = (_write_chunk(str(folder), chunk) for chunk in chunks)
    for part in results:
        found += part
        if progress is not None:
            progress(len(found), len(sheets))
    rows = [_row(sheet, known, seed) for sheet, (_, known) in zip(sheets, found, strict=True)]
    _write_csv(folder / "metadata.csv", rows)
    _write_landmarks(folder / "landmarks.parquet", sheets, found)
    _write_ratings(folder / "ratings.csv", sheets, found, seed=seed)
    return folder
