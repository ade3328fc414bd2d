"""Collect what is known about each picture, with one value per cell: lists become columns, or are left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

import facestats as fs
from facestats.core.display import list_columns
from facestats.core.tables import KEY, N_LANDMARKS, TABLES, TRUE_PREFIX, TableError
from facestats.inputs.metadata import read_metadata
from facestats.inputs.textfiles import TEXT_COLUMNS
from facestats.surfaces.notebooks.expected_tables import describe_stale, table_states
from facestats.surfaces.spreadsheets import MAX_HEADER, distinct_names

if TYPE_CHECKING:
    from facestats.core.config import Config

_PROBS = "_probs"
_MADE_BY_METADATA = "metadata.csv"
_JOINED = ("clusters", "ratings", "rated_faces")


@dataclass(frozen=True)
class Collected:
    """A flat table, where each of its columns comes from, and what a reader should know about it.

    Parameters
    ----------
    table
        One value per cell.
    origins
        For each column the stored table that holds it, or the file beside the pictures.
    notes
        Sentences: what is missing, stale or left out.
    """

    table: pl.DataFrame
    origins: dict[str, str]
    notes: list[str]


def collect_pictures(config: Config, *, landmarks: bool, probabilities: bool) -> Collected:
    """Join master, clusters, ratings and the metadata: a row per picture.

    Parameters
    ----------
    config
        Settings of the project.
    landmarks, probabilities
        Whether to add the points of each face, and the probability of each option.

    Raises
    ------
    FileNotFoundError
        If there is no table master; the message is a command that makes it.
    """
    store = fs.Store(config.data_dir)
    table = _read(config, "master")
    origins = _master_origins(store, table)
    states, notes = _states(config)
    for name in _JOINED:
        if states.filter(table=name)["state"].item() == "missing":
            if name != "rated_faces":  # the note on ratings says it
                notes.append(f"there is no table {name}, so its columns are left out")
            continue
        table = _add(table, store.read(name), origins, name)
    notes += _say_stale(states, config, tables=("master", *_JOINED))
    for frame, origin in _metadata(config):
        table = _add(table, frame, origins, origin)
    return flatten(
        table,
        origins=origins,
        notes=notes,
        landmarks=landmarks,
        probabilities=probabilities,
        left=("landmarks",),
    )


def collect_table(config: Config, name: str) -> Collected:
    """Read one stored table; raise FileNotFoundError with a command that makes it."""
    table = _read(config, name)
    states, notes = _states(config)
    notes += _say_stale(states, config, tables=(name,))
    return flatten(table, origins=dict.fromkeys(table.columns, name), notes=notes, probabilities=True)


def flatten(
    table: pl.DataFrame,
    *,
    origins: dict[str, str],
    notes: list[str] | None = None,
    landmarks: bool = False,
    probabilities: bool = False,
    left: tuple[str, ...] = (),
) -> Collected:
    """Turn probabilities and landmarks into columns, and leave out other lists; numbers that are none become null.

    Parameters
    ----------
    table
        Any stored table, or several that were joined.
    origins
        For each column where it comes from.
    notes
        Sentences to add to.
    landmarks, probabilities
        Whether to keep them.
    left
        Lists that nobody misses, because they can be asked for.
    """
    columns: list[pl.Expr] = []
    kept: dict[str, str] = {}
    dropped = []
    for name, kind in table.schema.items():
        flat: list[pl.Expr] = []
        if name.endswith("_margin") and f"image_{name.removesuffix('_margin')}" in table.columns:
            flat = [pl.col(name).alias(f"image_{name}")]  # the merged label may come from another source
        elif not kind.is_nested() and kind != pl.Binary:
            flat = [pl.col(name).fill_nan(None) if kind.is_float() else pl.col(name)]
        elif name == "landmarks" and landmarks:
            flat = _landmarks()
        elif name.endswith(_PROBS) and isinstance(kind, pl.Array):
            flat = _probabilities(table, name) if probabilities else []
        elif name not in left:
            dropped.append(name)
        columns += flat
        kept |= {column.meta.output_name(): origins[name] for column in flat}
    said = [*(notes or [])]
    if dropped:
        said.append(f"left out, because they hold several values in each row: {list_columns(dropped)}")
    return Collected(table.select(columns), kept, said)


def _read(config: Config, name: str) -> pl.DataFrame:
    try:
        return fs.Store(config.data_dir).read(name)
    except FileNotFoundError:
        needs = {
            "ratings": "ratings.csv",
            "reliability": "ratings.csv",
            "rated_faces": "ratings.csv",
            "classifications": "classifiers: in the configuration",
        }
        if name == "ratings" and (why := _why_no_ratings(config)):
            raise FileNotFoundError(why) from None
        first = f" It needs {needs[name]}." if name in needs else ""
        msg = (
            f"there is no table {name} in {config.data_dir}.{first} To make it, type: {config.command('run')}"
        )
        raise FileNotFoundError(msg) from None


def _why_no_ratings(config: Config) -> str:
    """Say why no trait is predicted, if ratings were read."""
    try:
        refused = fs.Store(config.data_dir).read("reliability").select("trait", "why_not").drop_nulls().rows()
    except FileNotFoundError:
        return ""
    reasons = "; ".join(f"{trait}: {why}" for trait, why in refused)
    return f"there is no table ratings, because no trait is predicted. {reasons}" if refused else ""


def _master_origins(store: fs.Store, table: pl.DataFrame) -> dict[str, str]:
    """Find out which table gave each column of master."""
    origins = dict.fromkeys(table.columns, "master")
    origins |= {c: "the captions" for c in ("text",) if c in origins}
    for name in ("ratings", "classifications", "text_labels", "faces"):
        if store.provenance(name):
            columns = store.scan(name).collect_schema().names()
            origins |= {c: name for c in columns if c in origins}
    for column in origins:
        whole = column.removesuffix("_score").removesuffix(_PROBS)
        if column.startswith("image_") and whole != KEY:
            origins[column] = "attributes"
        elif column.startswith("human_"):
            origins[column] = "labels.csv"
        elif column.endswith(("_margin", _PROBS)) and origins[column] == "master":
            origins[column] = "attributes"
    return origins


def _states(config: Config) -> tuple[pl.DataFrame, list[str]]:
    """Return the state of every table; without the pictures, only what the tables themselves can say, and a note."""
    try:
        return table_states(config), []
    except (OSError, TableError) as error:
        note = f"it was not checked whether the tables fit the pictures and settings as they are now: {error}"
        return fs.Store(config.data_dir).status(), [note]


def _say_stale(states: pl.DataFrame, config: Config, *, tables: tuple[str, ...]) -> list[str]:
    """Say which of the tables, and of those that they are made from, are stale."""
    names = list(tables)
    for name in names:
        names += [read for read in TABLES[name].reads if read not in names]
    said = describe_stale(states.filter(pl.col("table").is_in(names)), config)
    return [said] if said else []


def _metadata(config: Config) -> list[tuple[pl.DataFrame, str]]:
    """Read the known truth, the person in each picture, and the other columns of the metadata."""
    truth_file = config.audit.file or config.raw_dir
    truth = fs.human_labels.read_truth(truth_file, config.attributes, pictures=config.raw_dir)
    people = fs.inputs.read_people(config.raw_dir, config.ratings.person)
    origin = config.audit.file.name if config.audit.file else _MADE_BY_METADATA
    return [(truth, origin), (people, _MADE_BY_METADATA), (_others(config), _MADE_BY_METADATA)]


def _others(config: Config) -> pl.DataFrame:
    """Read what else the metadata says of each picture; columns of numbers are numbers."""
    metadata = read_metadata(config.raw_dir)
    person = (config.ratings.person or "").casefold()
    known = {
        KEY,
        *TEXT_COLUMNS,
        *(f"{TRUE_PREFIX}{name}" for name in config.attributes),
        *([person] if person else []),
    }
    columns = [c for c in metadata.columns if c.strip().casefold() not in known]
    filled = metadata.select(KEY, *columns).with_columns(pl.exclude(KEY).str.strip_chars().replace("", None))
    rows = filled.group_by(KEY, maintain_order=True).agg(pl.all().drop_nulls().first())
    return rows.with_columns(_to_numbers(rows[c]) for c in columns)


def _to_numbers(texts: pl.Series) -> pl.Series:
    """Turn texts into numbers if all of them are; ``007`` is a name."""
    known = texts.drop_nulls()
    if known.is_empty() or not known.str.contains(r"^-?(0|[1-9]\d{0,14})(\.\d+)?$").all():
        return texts
    return texts.cast(pl.Float64 if known.str.contains(".", literal=True).any() else pl.Int64)


def _add(table: pl.DataFrame, more: pl.DataFrame, origins: dict[str, str], origin: str) -> pl.DataFrame:
    """Add the columns; one whose name is taken is called after its file. A picture not in `more` gets nulls."""
    taken = {c: f"metadata_{c}" for c in more.columns if c in table.columns and c != KEY}
    if origin != _MADE_BY_METADATA:
        more, taken = more.drop(taken), {}
    new = more.rename({c: n for c, n in taken.items() if n not in table.columns})
    origins |= dict.fromkeys(new.columns[1:], origin)
    return table.join(new.unique(KEY, keep="first"), on=KEY, how="left", maintain_order="left")


def _landmarks() -> list[pl.Expr]:
    points = range(N_LANDMARKS)
    return [
        pl.col("landmarks").arr.get(i).arr.get(axis).alias(f"lm_{i:03d}_{name}")
        for i in points
        for axis, name in enumerate("xy")
    ]


def _probabilities(table: pl.DataFrame, name: str) -> list[pl.Expr]:
    """Name each probability after its option, which the column of the label knows."""
    label = name.removesuffix(_PROBS)
    # the merged label may come from another source, such as a probe
    by = "image_" if f"image_{label}" in table.columns else ""
    kind, array = table.schema.get(label), table.schema[name]
    size = array.size if isinstance(array, pl.Array) else 0
    options = kind.categories.to_list() if isinstance(kind, pl.Enum) else [str(i) for i in range(size)]
    names = distinct_names([f"{by}{label}_prob_{option.replace(' ', '_')}" for option in options], MAX_HEADER)
    return [pl.col(name).arr.get(i).alias(column) for i, column in enumerate(names)]
