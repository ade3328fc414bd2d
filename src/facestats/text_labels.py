"""Stage 04: captions of pictures, and the attributes that they state (natural language inference)."""

from __future__ import annotations

import io
import json
import logging
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core import progress
from facestats.core.listing import list_images, picture_path
from facestats.core.tables import KEY, check_columns

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from facestats.core.config import AttributeSettings
    from facestats.core.protocols import TextClassifier

VERSION = 1
log = logging.getLogger(__name__)

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
TEXT_COLUMNS = ("text", "caption")
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class CaptionError(ValueError):
    """A caption file cannot be used; the text names the file, the line or picture, and what to do."""


def list_captions(raw_dir: str | os.PathLike[str]) -> pl.DataFrame:
    """Find the caption of every picture below a folder.

    Captions stand in ``metadata.csv``, ``.jsonl`` or ``.parquet`` anywhere below `raw_dir`, with `file_name`
    relative to that file and `text` or `caption` (the convention of Hugging Face imagefolder), or in a text
    file of the picture's own name: ``anna.txt`` beside ``anna.jpg``. Encodings: UTF-8, with or without
    BOM, and UTF-16.

    Parameters
    ----------
    raw_dir
        Folder of the pictures.

    Returns
    -------
    `image_id` and `text` (String, null without a caption), one row per picture of :func:`list_images`.

    Raises
    ------
    CaptionError
        If a file cannot be read, or a picture has two captions; names the file and line, or the picture.
    """
    root = Path(raw_dir)
    pictures = list_images(root).select(KEY)
    found = [row for file in _metadata_files(root) for row in _read_metadata(root, file)]
    found += _sidecars(root, pictures[KEY])
    captions = pl.DataFrame(
        found, schema={KEY: pl.String, "text": pl.String, "source": pl.String}, orient="row"
    )
    captions = captions.filter(pl.col("text").str.strip_chars() != "")
    if twice := captions.filter(pl.col(KEY).is_duplicated())[KEY].unique().sort().to_list():
        sources = captions.filter(pl.col(KEY) == twice[0])["source"].to_list()
        msg = (
            f"{len(twice)} pictures have two captions, such as {twice[0]!r}: see {sources}. Keep one of them."
        )
        raise CaptionError(msg)
    lost = captions.join(pictures, on=KEY, how="anti")
    if lost.height:
        log.warning("%d captions name no picture in %s, such as %r", lost.height, root, lost[KEY][0])
    return pictures.join(captions.drop("source"), on=KEY, how="left", validate="1:1", maintain_order="left")


def label_texts(
    captions: pl.DataFrame,
    classifier: TextClassifier,
    attributes: Mapping[str, AttributeSettings],
    *,
    threshold: float = 0.5,
) -> pl.DataFrame:
    """Label every text with the options that it states; null where it does not say.

    Each option's hypotheses ("The person has red hair.") are put to the classifier, and their logits averaged.
    The probabilities are a softmax of entailment over the options, the rule of the zero-shot
    pipeline of transformers (Yin et al. 2019); the score is that of entailment against contradiction.

    Parameters
    ----------
    captions
        `image_id` and `text`, as :func:`list_captions` makes it; equal texts are scored once.
    classifier
        NLI handle, such as ``fs.models.bart(cfg.text_labels)``.
    attributes
        ``cfg.attributes``: options and their hypotheses.
    threshold
        Lowest score, 0 to 1, at which a text counts as stating its best option.

    Returns
    -------
    `image_id` and, per attribute `a`: `text_a` (Enum in the order of the options, null if the score is below
    `threshold`), `text_a_score` and `text_a_margin` (Float32: entailment of the best option, and the lead of
    its probability over the second), `text_a_probs` (Array(Float32, number of options)). All null without
    a text.
    """
    check_columns(captions, KEY, "text", made_by="fs.list_captions (notebooks/04_text_labels.ipynb)")
    if not 0 <= threshold <= 1:
        msg = f"threshold is a score between 0 and 1, got {threshold}"
        raise ValueError(msg)
    texts = captions.select(text=pl.when(pl.col("text").str.strip_chars() != "").then("text"))["text"]
    distinct = texts.drop_nulls().unique(maintain_order=True)
    groups = {name: attribute.hypotheses() for name, attribute in attributes.items()}
    hypotheses = list(dict.fromkeys(h for options in groups.values() for hs in options.values() for h in hs))
    logits = classifier.score(distinct.to_list(), hypotheses)
    place = {hypothesis: i for i, hypothesis in enumerate(hypotheses)}
    columns = [distinct.alias("text")]
    for name, options in groups.items():
        averaged = [logits[:, [place[h] for h in hs]].mean(axis=1) for hs in options.values()]
        columns += _decide(f"text_{name}", list(options), np.stack(averaged, axis=1), threshold=threshold)
    progress.advance(captions.height)
    keyed = captions.select(KEY, text=texts)
    return keyed.join(
        pl.DataFrame(columns), on="text", how="left", validate="m:1", maintain_order="left"
    ).drop("text")


def _decide(
    name: str, options: list[str], logits: NDArray[np.float32], *, threshold: float
) -> list[pl.Series]:
    """Make the four columns of one attribute from logits (n, n_options, 2): contradiction and entailment."""
    values = logits.astype(np.float64)
    shifted = np.exp(values[..., 1] - values[..., 1].max(axis=1, keepdims=True))
    probs = shifted / shifted.sum(axis=1, keepdims=True)
    best = probs.argmax(axis=1)
    lead = np.take_along_axis(values[..., 1] - values[..., 0], best[:, None], axis=1)[:, 0]
    score = np.exp(-np.logaddexp(0, -lead))  # softmax over two logits, without overflow
    ranked = np.sort(probs, axis=1)
    labels = pl.Series(options, dtype=pl.Enum(options)).gather(best)
    return [
        labels.set(pl.Series(score < threshold), None).alias(name),
        pl.Series(f"{name}_score", score, dtype=pl.Float32),
        pl.Series(f"{name}_margin", ranked[:, -1] - ranked[:, -2], dtype=pl.Float32),
        pl.Series(f"{name}_probs", probs.astype(np.float32), dtype=pl.Array(pl.Float32, len(options))),
    ]


def _metadata_files(root: Path) -> list[Path]:
    hidden = (p for name in METADATA for p in root.rglob(name))
    visible = [p for p in hidden if not any(part.startswith(".") for part in p.relative_to(root).parts)]
    return sorted(p for p in visible if p.is_file())


def _read_metadata(root: Path, file: Path) -> Iterator[tuple[str, str | None, str]]:
    """Yield image_id, text and source of every line of a metadata file."""
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    frame = readers[file.suffix](file)
    text = next((c for c in TEXT_COLUMNS if c in frame.columns), None)
    if text is None or "file_name" not in frame.columns:
        msg = f"{file} has the columns {frame.columns}; needed are file_name, and text or caption"
        raise CaptionError(msg)
    folder = file.parent.relative_to(root).as_posix()
    names = frame.select(pl.col("file_name").cast(pl.String), pl.col(text).cast(pl.String))
    for name, caption in names.drop_nulls("file_name").iter_rows():
        path = posixpath.normpath(posixpath.join(folder, name.replace("\\", "/")))
        yield path, caption, file.relative_to(root).as_posix()


def _read_csv(file: Path) -> pl.DataFrame:
    """Read a CSV as text, with the separator that its first line shows."""
    content = _decode(file)
    head = content.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    try:
        return pl.read_csv(
            io.BytesIO(content.encode()), infer_schema=False, separator=separator, empty_string_is_null=False
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        msg = f"{file} cannot be read as CSV: {str(error).splitlines()[0]}"
        raise CaptionError(msg) from error


def _read_jsonl(file: Path) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(_decode(file).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            # a lone surrogate is valid JSON, but no text
            rows.append(
                {k: v.encode("utf-8", "replace").decode() for k, v in row.items() if isinstance(v, str)}
            )
        except (ValueError, RecursionError, AttributeError) as error:
            msg = f"{file}, line {number}: not a JSON object ({error}); correct the line or take it out"
            raise CaptionError(msg) from error
    names = list(dict.fromkeys(k for row in rows for k in row))
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in names})


def _read_parquet(file: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(file)
    # Polars panics on some broken files, and its panic is no Exception
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        msg = f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}"
        raise CaptionError(msg) from error


def _sidecars(root: Path, pictures: pl.Series) -> Iterator[tuple[str, str, str]]:
    for name in pictures:
        file = picture_path(f"{root}/{name}").with_suffix(".txt")
        if file.is_file():
            yield name, _decode(file).strip(), file.name


def _decode(file: Path) -> str:
    """Read a text file in UTF-8 or UTF-16; anything else is an error that names the line."""
    try:
        data = file.read_bytes()
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise CaptionError(msg) from error
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        msg = f"{file}, line {line}: not {encoding.upper()}; save the file as UTF-8"
        raise CaptionError(msg) from error
