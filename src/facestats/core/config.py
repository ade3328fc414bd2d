"""Read the settings of a project from one YAML file into a frozen, typed object.

An unknown key is an error that names the nearest valid one.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, model_validator

from facestats.core.attribute_settings import (
    AttributeSettings,
    ClassifierSettings,
    OptionSettings,
    Settings,
    check_classifiers,
)

PACKAGE = Path(__file__).parents[1]
MAX_CONFIG_BYTES = 1_000_000


class ConfigError(ValueError):
    """The configuration cannot be used; the message names the file, the key, what was found and what is valid."""


def _resolve_path(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder", Path())
    return Path(os.path.normpath(folder / path.expanduser()))


# a path in a configuration file is relative to the folder of that file
ProjectPath = Annotated[Path, AfterValidator(_resolve_path)]


class FacesSettings(Settings):
    """Stage 01: find and align faces.

    `policy` decides about pictures with several faces: `largest` takes the largest face, `reject` gives the picture
    the status many_faces. `second_detector` (`none` or `opencv`) searches the pictures in which FaceMesh finds no
    face. `workers` is the number of processes, 0 for one per core.
    """

    backend: Literal["facemesh"] = "facemesh"
    min_confidence: float = Field(0.5, gt=0, lt=1)
    max_faces: int = Field(10, ge=1, le=100)
    second_detector: Literal["none", "opencv"] = "none"
    policy: Literal["largest", "reject"] = "largest"
    crop_size: int = Field(512, ge=64, le=2048)
    max_pixels: int = Field(50_000_000, ge=10_000)
    chunk_size: int = Field(1000, ge=1)
    workers: int = Field(0, ge=0)


class EmbeddingsSettings(Settings):
    """Stage 02: encode faces. `model` is ``model/pretrained``, ``hf-hub:org/name`` or ``local-dir:folder`` (open_clip)."""

    model: str = "ViT-B-32-quickgelu/openai"
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: int = Field(64, ge=1)
    chunk_size: int = Field(1000, ge=1)
    workers: int = Field(0, ge=0)


class TextLabelsSettings(Settings):
    """Stage 04: label texts. `model` is a Hugging Face sequence classifier trained for NLI, by name or folder.

    `window_tokens`: longer texts are split at sentence ends into windows of this many tokens, the length such models
    were trained on. `batch_size` 0 chooses a size that suits the device. `threshold`, `ask_first` and `lexicon` are
    the parameters of :func:`facestats.label_texts`. At the default threshold entailment outweighs contradiction; the
    threshold of the demo was chosen on captions of known truth (benchmarks/text_ways.py). `vectors`: also store the
    CLIP vectors of the texts (table `text_embeddings`), so that the audit scores the labels they give.
    """

    model: str = "facebook/bart-large-mnli"
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
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
    """

    file: ProjectPath | None = None
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

    `kmeans` makes `n_clusters` clusters. `hdbscan` finds clusters of `min_cluster_size` or more faces and marks the
    other faces as noise. `n_neighbors` is that of UMAP.
    """

    method: Literal["kmeans", "hdbscan"] = "kmeans"
    n_clusters: int = Field(12, ge=2)
    min_cluster_size: int = Field(10, ge=2)
    n_neighbors: int = Field(15, ge=2)


class CompositesSettings(Settings):
    """Stage 08: average the faces of each group of column `by`; a group needs `min_faces` or more faces."""

    by: str = "gender"
    min_faces: int = Field(8, ge=1)


class DemoSettings(Settings):
    """A drawn gallery in place of pictures: the number of characters and the seed."""

    pictures: int = Field(240, ge=1)
    seed: int = 0


class Config(Settings):
    """All settings of one project; each stage has a section that is named like its table."""

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
            "embeddings.model": self.embeddings.model,
            "text_labels.model": self.text_labels.model,
            **{f"classifiers.{name}.model": c.model for name, c in self.classifiers.items()},
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
        """File in which :class:`facestats.CharacterPipeline` keeps its answers."""
        return self.data_dir / "cache.db"

    @model_validator(mode="before")
    @classmethod
    def _set_default_paths(cls, values: dict[str, Any]) -> dict[str, Any]:
        raw = Path(str(values.get("raw_dir", Path(str(values.get("data_dir", "data"))) / "raw")))
        return {"raw_dir": raw, "labels_file": raw / "labels.csv", **values}

    @model_validator(mode="after")
    def _check_classifiers(self) -> Config:
        check_classifiers(self.classifiers, self.attributes)
        return self


def load_config(path: str | os.PathLike[str] | None = None) -> Config:
    """Read a configuration file.

    Parameters
    ----------
    path
        A YAML file; by default ``$FACESTATS_CONFIG``, else ``config/demo.yaml`` in the working folder or
        one above it. Paths in the file are relative to its folder; ``${package}`` stands for the folder of the
        installed package.

    Returns
    -------
    The settings, one section per stage (``cfg.faces``, ``cfg.embeddings``, ...), with absolute paths.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a setting is unknown or not allowed. The message names the file, the key,
        what was found and what is valid.

    Examples
    --------
    >>> import json, tempfile
    >>> from pathlib import Path
    >>> import facestats as fs
    >>> attributes = fs.testing.example_project().attributes
    >>> settings = {"seed": 7, "attributes": {name: a.model_dump() for name, a in attributes.items()}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "my.yaml")
    ...     _ = file.write_text(json.dumps(settings))  # JSON is also YAML
    ...     cfg = fs.load_config(file)
    >>> cfg.seed, list(cfg.attributes), cfg.faces.crop_size
    (7, ['age', 'hair_color'], 512)
    """
    file = find_config(path)
    values = _read_yaml(file)
    context = {"folder": file.resolve().parent}
    if isinstance(values.get("attributes", "attributes.yaml"), str):
        named = context["folder"] / values.get("attributes", "attributes.yaml")
        fix = f"Copy config/attributes.yaml of facestats there, or set the path in {file} as attributes: FILE"
        values["attributes"] = _read_yaml(named, fix=fix)
    try:
        return Config.model_validate(values, context=context)
    except ValidationError as error:
        raise ConfigError(_describe_errors(file, error)) from None


def find_config(path: str | os.PathLike[str] | None = None) -> Path:
    """Return `path`, else ``$FACESTATS_CONFIG``, else ``config/demo.yaml`` in the working folder or one above it."""
    if given := path or os.environ.get("FACESTATS_CONFIG"):
        return Path(given)
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "config" / "demo.yaml").is_file():
            return folder / "config" / "demo.yaml"
    msg = f"no config/demo.yaml in {Path.cwd()} or above. Give a path, or set FACESTATS_CONFIG."
    raise ConfigError(msg)


def _read_yaml(file: Path, *, fix: str = "Give a YAML file, such as config/default.yaml.") -> dict[str, Any]:
    try:
        raw = file.read_bytes()
    except OSError as error:
        msg = f"{file}: cannot be read ({error.strerror}). {fix}"
        raise ConfigError(msg) from error
    if len(raw) > MAX_CONFIG_BYTES:
        msg = f"{file}: the file has {len(raw)} bytes; a configuration has at most {MAX_CONFIG_BYTES}. {fix}"
        raise ConfigError(msg)
    try:
        values = yaml.safe_load(raw.decode("utf-8-sig").replace("${package}", PACKAGE.as_posix()))
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        msg = f"{file}: not readable as YAML in UTF-8: {error}"
        raise ConfigError(msg) from error
    if not isinstance(values, dict):
        msg = f"{file}: expected settings as `key: value`, found {type(values).__name__}. {fix}"
        raise ConfigError(msg)
    return values


def _describe_errors(file: Path, error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown setting {where!r}{_suggest_key(problem['loc'])}")
        else:
            shown = "" if problem["type"] == "missing" else f", found {problem['input']!r}"
            lines.append(f"{where}: {problem['msg']}{shown}")
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
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} Valid here are {', '.join(valid)}."
