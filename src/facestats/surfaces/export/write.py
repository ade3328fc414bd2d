"""Export the results of a project to other programs."""

from __future__ import annotations

import unicodedata
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl

import facestats as fs
from facestats.core.atomic_write import replacing
from facestats.core.config import ConfigError
from facestats.core.progress import say
from facestats.core.shown_text import FORMULA
from facestats.core.tables import KEY, TABLES, TableError
from facestats.surfaces.export.flat import collect_pictures, collect_table
from facestats.surfaces.export.guide import column_guide
from facestats.surfaces.export.spss import spss_names, write_spss
from facestats.surfaces.spreadsheets import write_csv, write_excel

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from facestats.core.config import Config

SUFFIXES = (".csv", ".xlsx", ".sav", ".parquet")


def export(
    config: Config,
    file: str | os.PathLike[str],
    *,
    table: str = "master",
    columns: Sequence[str] | None = None,
    landmarks: bool = False,
    probabilities: bool = False,
    decimal: Literal[".", ","] = ".",
) -> Path:
    """Write the results as CSV, Excel, SPSS or Parquet, and a column guide beside them.

    There is a row per picture: labels with scores and sources, ratings, clusters, quality, and all columns of the
    metadata, the known truth among them. If pictures or settings have changed since, a line says which tables are
    stale. The guide, ``<name>_columns.csv``, says what each column means, which
    notebook and model made it, and for a label its options and prompts.

    A CSV is UTF-8 with a byte order mark, so that Excel reads umlauts. A text that begins like a formula gets an
    apostrophe in front in CSV; in Excel it is a text. In SPSS a label is a number with a value label.

    Parameters
    ----------
    config
        Settings of the project, from :func:`facestats.load_config`.
    file
        File to write; its end decides the format: ``.csv``, ``.xlsx``, ``.sav`` or ``.parquet``.
    table
        Another stored table to write, such as ``audit`` or ``composites``; by default a row per picture.
    columns
        Columns to write, in this order; by default all.
    landmarks
        Whether to add the 478 points of each face: ``lm_000_x``, ``lm_000_y`` and so on, in pixels of the picture.
    probabilities
        Whether to add the probability of each option: ``age_prob_child`` and so on.
    decimal
        Decimal sign of a CSV. With a comma, columns are separated by semicolons, as German Excel expects it.

    Returns
    -------
    The file.

    Raises
    ------
    ConfigError
        If the end of the file name is none of these, or there is no such table.
    FileNotFoundError
        If the table does not exist yet; the message is the command that makes it.
    TableError
        If one of `columns` does not exist, or the table is larger than the format can hold.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import polars as pl
    >>> import facestats as fs
    >>> from facestats.core.config import Config
    >>> project = fs.testing.example_project()
    >>> with TemporaryDirectory() as folder:
    ...     cfg = Config(data_dir=folder, raw_dir=project.raw_dir, attributes=project.attributes)
    ...     path = fs.Store(folder).write("master", project.master)
    ...     file = fs.export(cfg, f"{folder}/labels.csv", columns=["image_id", "age"])  # doctest: +ELLIPSIS
    ...     print(pl.read_csv(file).row(0))
    there is no table clusters, so its columns are left out
    ...
    wrote 12 rows and 2 columns to labels.csv; labels_columns.csv says what they mean
    ('face_000.png', 'child')
    """
    path = Path(file)
    guide_file = path.with_name(f"{path.stem}_columns.csv")
    _check(path, table, landmarks=landmarks, probabilities=probabilities)
    if table == "master":
        found = collect_pictures(config, landmarks=landmarks, probabilities=probabilities)
    else:
        found = collect_table(config, table)
    flat = _compose_names(found.table)
    if columns is not None:
        _check_columns(flat, columns)
        flat = flat.select(list(dict.fromkeys(columns)))
    guide = column_guide(flat, found.origins, config)
    try:
        _write(flat, path, guide, decimal=decimal)
    except ValueError as error:
        raise TableError(str(error)) from error
    if path.suffix.lower() == ".sav":  # the guide has the names of the file
        guide = guide.with_columns(column=pl.Series(spss_names(flat.columns)))
    write_csv(guide, guide_file, decimal=decimal, bom=True)
    toys = {
        fs.models.describe_domain(m)
        for m in (fs.models.clip(config.embeddings), fs.models.bart(config.text_labels))
    }
    for note in (*found.notes, *sorted(toys - {None}, key=str)):
        say(str(note))
    if path.suffix.lower() == ".csv" and (n := _count_formulas(flat)):
        say(f"{n:,} texts begin like a formula and got an apostrophe in front")
    say(
        f"wrote {flat.height:,} rows and {flat.width:,} columns to {path.name};"
        f" {guide_file.name} says what they mean"
    )
    return path


def _compose_names(flat: pl.DataFrame) -> pl.DataFrame:
    """Write the names of pictures with composed letters (NFC), as R and SPSS compare them; not if two would be equal."""
    if KEY not in flat.columns:
        return flat
    names = pl.Series(KEY, [unicodedata.normalize("NFC", name) for name in flat[KEY]], dtype=pl.String)
    return flat if names.n_unique() < flat[KEY].n_unique() else flat.with_columns(names)


def _check_columns(flat: pl.DataFrame, columns: Sequence[str]) -> None:
    """Raise one ConfigError that names all columns that there are not."""
    listed = []
    for name in (c for c in columns if c not in flat.columns):
        near = get_close_matches(name.casefold(), flat.columns, n=1, cutoff=0.6)
        hint = (
            " (separate names by commas)" if ";" in name else f" (did you mean {near[0]!r}?)" if near else ""
        )
        listed.append(f"{name!r}{hint}")
    if listed:
        msg = (
            f"there is no column {', '.join(listed)}. Without --columns, all columns are written, and the guide lists"
            " them; landmarks and probabilities must be asked for"
        )
        raise ConfigError(msg)


def _check(path: Path, table: str, *, landmarks: bool, probabilities: bool) -> None:
    """Raise one ConfigError with all that is wrong with the arguments."""
    problems = []
    if path.suffix.lower() not in SUFFIXES:
        problems.append(
            f"{path}: the end of the name says what to write, and {path.suffix or 'no end'!r} says nothing; use one of"
            f" {', '.join(SUFFIXES)}, such as {path.stem}.csv"
        )
    if path.is_dir():
        problems.append(f"{path} is a folder; name a file")
    if table not in TABLES:
        problems.append(f"there is no table {table!r}; the tables are {', '.join(TABLES)}")
    if table != "master" and (landmarks or probabilities):
        problems.append(
            f"landmarks and probabilities belong to the pictures, not to table {table}; leave them out"
        )
    if problems:
        raise ConfigError("; ".join(problems))


def _write(flat: pl.DataFrame, path: Path, guide: pl.DataFrame, *, decimal: str) -> None:
    kind = path.suffix.lower()
    if kind == ".csv":
        write_csv(flat, path, decimal=decimal, bom=True)
    elif kind == ".xlsx":
        write_excel(flat, path)
    elif kind == ".sav":
        write_spss(flat, path, labels=dict(guide.select("column", "meaning").iter_rows()))
    else:
        with replacing(path) as temporary:
            flat.write_parquet(temporary)


def _count_formulas(flat: pl.DataFrame) -> int:
    texts = [s for s in flat if s.dtype == pl.String]
    return sum(int(s.str.contains(FORMULA).sum()) for s in texts)
