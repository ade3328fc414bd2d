"""Read the metadata beside the pictures (`metadata.csv`, .jsonl or .parquet): persons, licence, consent."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.tables import KEY, TableError
from facestats.inputs.matching import join_path, list_names, match_names
from facestats.inputs.textfiles import READERS, check_side_file

if TYPE_CHECKING:
    import os

log = logging.getLogger(__name__)

# names of files with a row per picture, in capitals or not; the last one is that of kohya
METADATA = frozenset(
    [f"{stem}{kind}" for stem in ("metadata", "captions") for kind in READERS if kind != ".txt"]
    + ["meta_cap.json"]
)
_NAMES = (KEY, "file_name", "filename", "file", "image")  # in capitals or not
_PERSONS = ("person", "person_id", "identity", "subject", "subject_id")
RIGHTS = ("licence", "license", "consent", "copyright", "rights", "source")


def read_rights(folder: str | os.PathLike[str], *, pictures: pl.Series | None = None) -> pl.DataFrame:
    """Count the values that the metadata beside the pictures holds about licence, consent and origin.

    Parameters
    ----------
    folder
        Folder of the pictures.
    pictures
        The `image_id` of the pictures that count; by default all that the metadata names.

    Returns
    -------
    `column` and `value` (String, null where a picture has none) and `n` (UInt32); no rows without such a column.
    """
    frame = read_metadata(Path(folder))
    if pictures is not None:  # one without metadata has no licence
        frame = pictures.to_frame().join(frame, on=KEY, how="left") if frame.width > 1 else frame
    parts = [
        frame.select(column=pl.lit(c), value=pl.col(c).cast(pl.String).replace("", None))
        for c in frame.columns
        if any(word in c.lower() for word in RIGHTS)
    ]
    if not parts:
        return pl.DataFrame(schema={"column": pl.String, "value": pl.String, "n": pl.UInt32})
    counts = pl.concat(parts).group_by("column", "value", maintain_order=True).agg(n=pl.len())
    return counts.sort("column", "n", descending=[False, True])


def read_people(folder: str | os.PathLike[str], column: str | None) -> pl.DataFrame:
    """Read which person each picture shows, so that a test never divides the pictures of one person.

    Parameters
    ----------
    folder
        Folder of pictures with ``metadata.csv`` (or .jsonl, .parquet).
    column
        The metadata column that names the person: ``cfg.ratings.person``; None reads nothing.

    Returns
    -------
    `image_id` and `column` (String, null where no person is named), one row per picture in the metadata. If
    `column` is None, `image_id` alone and no rows.

    Raises
    ------
    TableError
        If there is no such column, it is empty, or a picture has two persons.
    CaptionError
        If a metadata file cannot be read, or none of its names is that of a picture.

    Examples
    --------
    >>> import tempfile
    >>> import polars as pl
    >>> import facestats as fs
    >>> metadata = pl.DataFrame({"file_name": ["1.jpg", "2.jpg"], "person": ["Anna", None]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     metadata.write_csv(f"{folder}/metadata.csv")
    ...     people = fs.inputs.read_people(folder, "person")
    >>> people.rows()
    [('1.jpg', 'Anna'), ('2.jpg', None)]
    """
    if column is None:
        _hint_at_persons(Path(folder))
        return pl.DataFrame(schema={KEY: pl.String})
    frame = read_metadata(Path(folder))
    names = [c for c in frame.columns if c.strip().casefold() == column.strip().casefold() and c != KEY]
    if column not in names and len(names) != 1:
        found = [c for c in frame.columns if c != KEY] or "no such file, or no column"
        msg = (
            f"the metadata.csv in {folder} has no column {column!r} that names the person; it has {found}. Add the"
            " column, or change ratings.person in the configuration."
        )
        raise TableError(msg)
    written = column if column in names else names[0]
    people = merge_rows(frame.select(KEY, pl.col(written).alias(column)), folder)
    if people[column].null_count() == people.height:
        msg = (
            f"the column {written!r} of the metadata in {folder} names no person. Fill it in, or delete ratings.person"
            " from the configuration."
        )
        raise TableError(msg)
    return people


def one_per_person(table: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    """Keep the first picture of each person, so that a person with many pictures counts once.

    Parameters
    ----------
    table
        Any table with `image_id`.
    people
        From :func:`read_people`; a picture of which no person is named shows one of its own.

    Returns
    -------
    The rows of `table` that are kept, in their order.

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> table = pl.DataFrame({"image_id": ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]})
    >>> people = pl.DataFrame({"image_id": ["1.jpg", "2.jpg"], "person": ["Anna", "Anna"]})
    >>> fs.inputs.one_per_person(table, people)["image_id"].to_list()
    ['1.jpg', '3.jpg', '4.jpg']
    """
    name = next((c for c in people.columns if c != KEY), None)
    if name is None:
        return table
    known = people.select(KEY, _person=pl.col(name).cast(pl.String))
    rows = table.join(known, on=KEY, how="left", validate="m:1", maintain_order="left")
    first = pl.col("_person").is_null() | pl.col("_person").is_first_distinct()
    return rows.filter(first).drop("_person")


def _hint_at_persons(folder: Path) -> None:
    """Say that the metadata names persons, if the configuration does not use them."""
    try:
        columns = read_metadata(folder).columns if folder.is_dir() else []
    except (TableError, ValueError):  # whoever needs the metadata reports what is wrong with it
        return
    if found := [c for c in columns if c.strip().casefold() in _PERSONS]:
        log.warning(
            "%s: the column %s of the metadata is not used. With `ratings: person: %s` in the configuration, the pictures"
            " of one person are never divided between training and test",
            folder,
            found[0],
            found[0],
        )


def read_metadata(folder: Path) -> pl.DataFrame:
    """Concatenate all metadata files below a folder; `image_id` is that of the picture, all columns are String."""
    frames = []
    written: dict[str, str] = {}  # a column has the spelling of the first file that has it
    files = metadata_files(folder)
    pictures = list_names(folder) if files else []
    for file in files:
        frame = name_rows(READERS[file.suffix.lower()](file, None), file)
        ids = name_pictures(folder, file, frame[KEY], pictures=pictures)
        spelt = {c: written.setdefault(c.strip().casefold(), c) for c in frame.columns if c != KEY}
        if len({*spelt.values()}) == len(spelt):
            frame = frame.rename(spelt)
        frames.append(frame.with_columns(ids).cast(pl.String))
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame(schema={KEY: pl.String})


def metadata_files(root: Path) -> list[Path]:
    """List the metadata files below a folder of pictures, sorted; hidden folders are left out.

    Raises
    ------
    CaptionError
        If one of them is a link that leaves the folder, a pipe or a device.
    """
    named = (p for p in root.rglob("*.*") if p.name.lower() in METADATA)
    visible = (p for p in named if not any(part.startswith(".") for part in p.relative_to(root).parts))
    files = sorted(p for p in visible if not p.is_dir())
    for file in files:
        check_side_file(file, root)
    return files


def name_pictures(root: Path, file: Path, names: pl.Series, *, pictures: list[str]) -> pl.Series:
    """Return the `image_id` of each picture that the metadata `file` below `root` names relative to itself."""
    place = file.parent.relative_to(root).as_posix()
    written = names.cast(pl.String)
    found = match_names(written.drop_nulls(), pictures, file=file, place=place) if pictures else {}
    ids = [None if name is None else found.get(name) or join_path(place, name) for name in written]
    return pl.Series(KEY, ids, dtype=pl.String)


def merge_rows(frame: pl.DataFrame, where: object) -> pl.DataFrame:
    """Merge the rows that several files have of one picture; TableError if they contradict each other.

    Rows that name no picture are left out.
    """
    filled = frame.drop_nulls(KEY).with_columns(pl.exclude(KEY).str.strip_chars().replace("", None))
    values = pl.exclude(KEY).drop_nulls()
    rows = filled.group_by(KEY, maintain_order=True)
    several = rows.agg(values.n_unique()).filter(pl.any_horizontal(pl.exclude(KEY) > 1))
    if several.height:
        twice = several[KEY][0]
        shown = filled.filter(pl.col(KEY) == twice).drop(KEY)
        differing = [
            f"{s.name} {' and '.join(map(repr, s.drop_nulls().unique(maintain_order=True)))}"
            for s in shown
            if s.drop_nulls().n_unique() > 1
        ]
        msg = (
            f"the metadata in {where} has several rows of {twice!r}, with {'; '.join(differing)}. Correct one row; if"
            f" several folders hold a picture of that name, write the folder before the name ({several.height} such"
            " pictures)"
        )
        raise TableError(msg)
    return rows.agg(values.first())


def name_rows(frame: pl.DataFrame, file: object) -> pl.DataFrame:
    """Rename the column `file_name` to `image_id`; raise TableError if the frame has neither."""
    if KEY in frame.columns:
        return frame
    reduced = {c.strip().replace(" ", "_").casefold(): c for c in reversed(frame.columns)}
    written = next((reduced[name] for name in _NAMES if name in reduced), None)
    if written is not None:
        return frame.rename({written: KEY})
    msg = f"{file} has neither the column {KEY} nor file_name; it has {frame.columns}"
    raise TableError(msg)
