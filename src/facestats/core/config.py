"""Read the settings of a project from one YAML file into a frozen, typed object.

An unknown key is an error that names the nearest valid one.
"""

from __future__ import annotations

import difflib
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from facestats.core.attribute_settings import (
    AttributeSettings,
    ClassifierSettings,
    ModelName,
    ModelSettings,
    OptionSettings,
    ProjectPath,
    Settings,
    check_classifiers,
)
from facestats.core.config_source import PACKAGE, ConfigError, ConfigSource, find_config
from facestats.core.yaml_reader import line_of, parse_yaml

if TYPE_CHECKING:
    import os

MAX_CONFIG_BYTES = 1_000_000

# what was found, in a message: aliases of YAML can make a few bytes as large as the memory
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxtuple, _SHORT.maxset = 2, 6, 6, 6, 6
_SHORT.maxstring = _SHORT.maxother = 200


class FacesSettings(Settings):
    """Stage 01: find and align faces.

    `policy` decides about pictures with several faces: `largest` takes the largest face, `reject` gives the picture
    the status many_faces. `landmarker` finds faces: `facemesh` (three networks that LiteRT runs), `official` (those of
    the Face Landmarker bundle, run by LiteRT; also the path of a bundle, ``my.task``) or `mediapipe` (the same bundle,
    run by the package mediapipe 1.2 or later, whose Tasks open connections to a logging service). `networks` is a
    folder, wheel or bundle with the networks, by default those that facestats fetches. `second_detector` (`none` or
    `opencv`) searches the pictures in which the landmarker finds no face. `workers` is the number of processes, 0 for
    one per core.
    """

    landmarker: Literal["facemesh", "official", "mediapipe"] = "facemesh"
    networks: ProjectPath | None = None
    min_confidence: float = Field(0.5, gt=0, lt=1)
    max_faces: int = Field(10, ge=1, le=100)
    second_detector: Literal["none", "opencv"] = "none"
    policy: Literal["largest", "reject"] = "largest"
    crop_size: int = Field(512, ge=64, le=2048)
    max_pixels: int = Field(50_000_000, ge=10_000)
    chunk_size: int = Field(1000, ge=1)
    workers: int = Field(0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _accept_a_bundle(cls, values: Any) -> Any:
        given = values.get("landmarker") if isinstance(values, dict) else None
        if isinstance(given, str) and given.endswith(".task") and values.get("networks") is None:
            return {**values, "landmarker": "official", "networks": given}
        return values


class EmbeddingsSettings(ModelSettings):
    """Stage 02: encode faces. `model` is ``model/pretrained``, ``hf-hub:org/name`` or ``local-dir:folder`` (open_clip)."""

    model: ModelName = "ViT-B-32-quickgelu/openai"
    batch_size: int = Field(64, ge=1)
    chunk_size: int = Field(1000, ge=1)
    workers: int = Field(0, ge=0)

    @field_validator("model")
    @classmethod
    def _accept_a_folder(cls, model: str) -> str:
        return f"local-dir:{model}" if Path(model).is_absolute() and Path(model).is_dir() else model


class TextLabelsSettings(ModelSettings):
    """Stage 04: label texts. `model` is a Hugging Face sequence classifier trained for NLI, by name or folder.

    `window_tokens`: longer texts are split at sentence ends into windows of this many tokens, the length such models
    were trained on. `batch_size` 0 chooses a size that suits the device. `threshold`, `ask_first` and `lexicon` are
    the parameters of :func:`facestats.label_texts`. At the default threshold entailment outweighs contradiction; the
    threshold of the demo was chosen on captions of known truth (benchmarks/text_ways.py). `vectors`: also store the
    CLIP vectors of the texts (table `text_embeddings`), so that the audit scores the labels they give.
    """

    model: ModelName = "facebook/bart-large-mnli"
    batch_size: int = Field(0, ge=0)
    window_tokens: int = Field(128, ge=8)
    threshold: float = Field(0.5, ge=0, le=1)
    ask_first: bool = False
    lexicon: bool = False
    vectors: bool = False
    chunk_size: int = Field(200, ge=1)


class RatingsSettings(Settings):
    """Stage 05: predict ratings. `file` holds the ratings by people, by default ``ratings.csv`` beside the pictures.

    `columns` are the vectors that a model reads; `n_shape` is the number of principal components of the aligned
    landmarks (0: none). Two kinds of pictures are never divided between training and test: pictures of one `person`
    (a column of metadata.csv, see ``fs.inputs.read_people``), and near-duplicates, whose cosine is `min_cosine` or more,
    compared by the last vector in `columns`. The folds of the probes in stage 03 keep the pictures of one `person`
    together too, but their near-duplicates do not depend on `columns` and `min_cosine`. `scale` is the lowest and the highest possible rating,
    by default those that occur; `unit` is the name of its unit. `level` is the coverage of the prediction intervals.
    `traits` are those of the file that are analysed, by default all.
    """

    file: ProjectPath | None = None
    traits: tuple[str, ...] | None = Field(None, min_length=1)
    regressor: Literal["ridge", "mlp"] = "ridge"
    columns: tuple[Literal["embedding", "embedding_full"], ...] = Field(
        ("embedding", "embedding_full"), min_length=1
    )
    n_shape: int = Field(20, ge=0)
    person: str | None = None
    min_cosine: float = Field(0.98, gt=0, le=1)
    scale: tuple[float, float] | None = None
    unit: str = "scale points"
    n_folds: int = Field(10, ge=2)
    level: float = Field(0.9, gt=0, lt=1)

    @property
    def needed(self) -> list[str]:
        """Columns that must not be null in a face that is rated."""
        return [*self.columns, *(["landmarks"] if self.n_shape else [])]


class AuditSettings(Settings):
    """Stage 09: score labels against the truth in `file`, by default the metadata beside the pictures.

    The scores are reported for each group of the attributes in `by` and of their combinations. `coverage` is that of
    the label sets. `n_faces` is the number of faces whose crops are shifted and mirrored to test stability.
    """

    file: ProjectPath | None = None
    by: tuple[str, ...] = ("gender", "ethnicity")
    coverage: float = Field(0.9, gt=0, lt=1)
    n_faces: int = Field(60, ge=1)


class ClustersSettings(Settings):
    """Stage 07: cluster faces.

    `kmeans` makes `n_clusters` clusters; by default their number follows that of the faces. `hdbscan` finds clusters of `min_cluster_size` or more faces and marks the
    other faces as noise. `n_neighbors` is that of UMAP.
    """

    method: Literal["kmeans", "hdbscan"] = "kmeans"
    n_clusters: int | None = Field(None, ge=2)
    min_cluster_size: int = Field(10, ge=2)
    n_neighbors: int = Field(15, ge=2)


class CompositesSettings(Settings):
    """Stage 08: average the faces of each group of the columns `by`; a group needs `min_faces` or more faces.

    `by` is a column or a list of columns. An entry that is a list itself means the groups that agree in all of its
    columns: ``by: [gender, true_age, [gender, age]]``. By default it is gender, or the first attribute if there is no
    gender: see :func:`facestats.composites.columns`.
    """

    by: tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...] | None = Field(None, min_length=1)
    min_faces: int = Field(8, ge=1)

    @field_validator("by", mode="before")
    @classmethod
    def _read_columns(cls, value: Any) -> Any:
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list | tuple):
            return listed
        return tuple((entry,) if isinstance(entry, str) else entry for entry in listed)


class DemoSettings(Settings):
    """A drawn gallery in place of pictures: the number of characters and the seed."""

    pictures: int = Field(240, ge=1)
    seed: int = 0


class Config(Settings):
    """All settings of one project; each stage has a section that is named like its table."""

    _source: ConfigSource | None = PrivateAttr(None)

    data_dir: ProjectPath = Path("data")
    raw_dir: ProjectPath
    labels_file: ProjectPath
    seed: int = 0
    attributes: dict[str, AttributeSettings] = Field(min_length=1)
    faces: FacesSettings = FacesSettings()
    embeddings: EmbeddingsSettings = EmbeddingsSettings()
    text_labels: TextLabelsSettings = TextLabelsSettings()
    classifiers: dict[str, ClassifierSettings] = Field(default_factory=dict)
    ratings: RatingsSettings = RatingsSettings()
    clusters: ClustersSettings = ClustersSettings()
    composites: CompositesSettings = CompositesSettings()
    audit: AuditSettings = AuditSettings()
    demo: DemoSettings | None = None

    def __repr__(self) -> str:
        rows = {
            "data_dir": self.data_dir,
            "raw_dir": self.raw_dir,
            "embeddings.model": self.embeddings.full_name,
            "text_labels.model": self.text_labels.full_name,
            **{f"classifiers.{name}.model": c.full_name for name, c in self.classifiers.items()},
            "attributes": len(self.attributes),
            "seed": self.seed,
        }
        return "\n".join(["Config", *(f"  {name}: {value}" for name, value in rows.items())])

    __str__ = __repr__

    @property
    def ratings_file(self) -> Path:
        """File of the ratings by people."""
        return self.ratings.file or self.raw_dir / "ratings.csv"

    @property
    def probes_file(self) -> Path:
        """File of the probes that notebook 03 fits."""
        return self.data_dir / "processed" / "probes.safetensors"

    @property
    def models_dir(self) -> Path:
        """Folder of the ratings models, one per trait."""
        return self.data_dir / "models"

    @property
    def report_dir(self) -> Path:
        """Folder of the executed notebooks, the run card and the composites."""
        return self.data_dir / "report"

    @property
    def cache_file(self) -> Path:
        """File in which :class:`facestats.CharacterPipeline` keeps its answers; without a project, one of the user."""
        if self._source is None or not self._source.is_packaged:
            return self.data_dir / "cache.db"
        from platformdirs import user_cache_path

        return user_cache_path("facestats", appauthor=False) / f"{self._source.file.stem}.db"

    @property
    def source(self) -> ConfigSource | None:
        """Where the settings were read; None if they were made in memory."""
        return self._source

    @property
    def config_file(self) -> Path | None:
        """The YAML file that the settings were read from; None if they were made in memory."""
        return self._source.file if self._source else None

    def command(self, *words: str) -> str:
        """Return a command line of facestats for this project that can be typed as it stands, for a message.

        Parameters
        ----------
        words
            The command and its options, such as ``"run", "--from", "03"``.
        """
        return self._source.command(*words) if self._source else " ".join(["facestats", *words])

    @model_validator(mode="before")
    @classmethod
    def _set_default_paths(cls, values: dict[str, Any]) -> dict[str, Any]:
        data = Path(str(values.get("data_dir", "data")))
        raw = Path(str(values.get("raw_dir", data / "raw")))
        return {"raw_dir": raw, "labels_file": raw / "labels.csv", **values}

    @model_validator(mode="after")
    def _check_classifiers(self) -> Config:
        check_classifiers(self.classifiers, self.attributes)
        return self


def load_config(source: str | os.PathLike[str] | ConfigSource | None = None) -> Config:
    """Read a configuration file.

    Parameters
    ----------
    source
        A YAML file, the folder of a project, what :func:`facestats.core.config_source.find_config` found, or None for
        what it finds. Paths in the file are relative to its folder; ``${package}`` stands for the folder of the
        installed package.

    Returns
    -------
    The settings, with absolute paths.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a setting is unknown or not allowed. The message names the file, the line, the
        key, what was found and what is valid.
    """
    found = find_config(source)
    texts = {found.file: _read_text(found.file)}
    values = _parse(found.file, texts[found.file])
    named = found.file
    if isinstance(values.get("attributes", "attributes.yaml"), str):
        named = found.file.resolve().parent / values.get("attributes", "attributes.yaml")
        fix = f"Copy attributes.yaml of facestats there, or set the path in {found.file} as attributes: FILE"
        texts[named] = _read_text(named, fix=fix)
        values["attributes"] = _parse(named, texts[named], fix=fix)
    try:
        config = Config.model_validate(values, context={"folder": found.folder.resolve()})
    except ValidationError as error:
        raise ConfigError(_describe_errors(found.file, named, texts, error)) from None
    config._source = found
    return config


def _read_text(file: Path, *, fix: str = "Give a YAML file, such as facestats.yaml.") -> str:
    try:
        raw = file.read_bytes()
    except OSError as error:
        msg = f"{file}: cannot be read ({error.strerror}). {fix}"
        raise ConfigError(msg) from error
    if len(raw) > MAX_CONFIG_BYTES:
        msg = f"{file}: the file has {len(raw)} bytes; a configuration has at most {MAX_CONFIG_BYTES}. {fix}"
        raise ConfigError(msg)
    try:
        return raw.decode("utf-8-sig").replace("${package}", PACKAGE.as_posix())
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        msg = f"{file}, line {line}: not UTF-8. Save the file as UTF-8."
        raise ConfigError(msg) from error


def _parse(
    file: Path, text: str, *, fix: str = "Give a YAML file, such as facestats.yaml."
) -> dict[str, Any]:
    try:
        values = parse_yaml(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        told = str(error).replace('in "<unicode string>", ', "")
        tabs = " A tab cannot begin a line or follow a colon: use blanks." if "'\\t'" in told else ""
        msg = f"{file}: not readable as YAML: {told}{tabs}"
        raise ConfigError(msg) from error
    if not isinstance(values, dict):
        msg = f"{file}: expected settings as `key: value`, found {type(values).__name__}. {fix}"
        raise ConfigError(msg)
    return values


def _describe_errors(file: Path, attributes: Path, texts: dict[Path, str], error: ValidationError) -> str:
    """List all problems, each with its file and line."""
    lines = []
    for problem in error.errors():
        loc = problem["loc"]
        apart = bool(loc) and loc[0] == "attributes" and attributes != file
        where = attributes if apart else file
        number = line_of(texts[where], [part for part in (loc[1:] if apart else loc) if part != "[key]"])
        place = f"{where}, line {number}: " if number else f"{where}: "
        name = ".".join(str(part) for part in loc)
        if problem["type"] == "extra_forbidden":
            lines.append(f"{place}unknown setting {name!r}{_suggest_key(loc)}")
            continue
        shown = "" if problem["type"] == "missing" else f", found {_SHORT.repr(problem['input'])}"
        quotes = ""
        if problem["type"] == "string_type" and isinstance(problem["input"], bool | int | float):
            quotes = "; put it in quotes if it is a text"
        text = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{place}{name}: {text}{shown}{quotes}")
    return f"{file}:\n  - " + "\n  - ".join(lines)


def _suggest_key(loc: tuple[int | str, ...]) -> str:
    """Name the valid key that is nearest to the unknown key at `loc`, and all valid keys of its section."""
    models: dict[str, type[Settings]] = {"attributes": AttributeSettings, "classifiers": ClassifierSettings}
    model: Any = Config
    for part in loc[:-1]:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else models.get(str(loc[0]), Config)
        if not (isinstance(model, type) and issubclass(model, Settings)):
            model = OptionSettings if "options" in loc else models.get(str(loc[0]), Config)
    valid = sorted(getattr(model, "model_fields", {}))
    close = difflib.get_close_matches(str(loc[-1]), valid, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"{hint} Valid here are {', '.join(valid)}."
