"""Settings: one YAML file becomes one frozen, typed object; an unknown key is an error that names the nearest."""

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
    """The configuration cannot be used; the text names file, key, what was found and what is valid."""


def _located(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder", Path())
    return Path(os.path.normpath(folder / path.expanduser()))


# a path in a file is relative to the folder of that file
Folder = Annotated[Path, AfterValidator(_located)]


class FacesSettings(Settings):
    """Stage 01: find and align.

    `policy` for several faces in one picture: `largest` takes the largest, `reject` says many_faces.
    `second_detector` (`none` or `opencv`) looks again at pictures in which FaceMesh finds nothing.
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
    """Stage 02: `model` is ``model/pretrained``, ``hf-hub:org/name`` or ``local-dir:folder`` (open_clip)."""

    model: str = "ViT-B-32-quickgelu/openai"
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: int = Field(64, ge=1)
    chunk_size: int = Field(1000, ge=1)
    workers: int = Field(0, ge=0)


class TextLabelsSettings(Settings):
    """Stage 04: `model` is any Hugging Face sequence classifier trained for NLI, by name or folder.

    `window_tokens`: longer texts are cut at sentence ends into windows of this many tokens, as long as what
    such models were trained on. `batch_size` 0 takes what suits the device. `threshold`, `ask_first` and
    `lexicon` are those of :func:`facestats.label_texts`; the default threshold is where entailment outweighs
    contradiction, that of the demo was chosen on captions of known truth (benchmarks/text_ways.py). `vectors`: also
    store the CLIP vectors of the texts (table `text_embeddings`) and let the audit score what they say.
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
    """Stage 05: `file` holds the ratings of people, by default ``ratings.csv`` beside the pictures.

    `columns` are the vectors that a model reads, `n_shape` the principal components of the aligned landmarks (0:
    none). Pictures of one `person` (a column of metadata.csv that ``fs.inputs.read_people`` reads) and near-duplicates
    (`min_cosine` of the last of `columns`) never lie on both sides of a fold; persons do not in stage 03 either.
    `scale` and `unit` of the ratings; by default the lowest and the highest one given. `level` is the coverage of
    the prediction intervals.
    """

    file: Folder | None = None
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
        """Columns that a face must have."""
        return [*self.columns, *(["landmarks"] if self.n_shape else [])]


class AuditSettings(Settings):
    """Stage 09: labels are scored against the truth in `file`, by default the metadata beside the pictures.

    Scores are split by the attributes in `by` and by their combinations; label sets are made for `coverage`; crops
    are moved and mirrored for `n_faces` of them.
    """

    file: Folder | None = None
    by: tuple[str, ...] = ("gender", "ethnicity")
    coverage: float = Field(0.9, gt=0, lt=1)
    n_faces: int = Field(60, ge=1)


class ClustersSettings(Settings):
    """Stage 07: `kmeans` makes `n_clusters`; `hdbscan` finds groups of `min_cluster_size` or more, the rest is noise."""

    method: Literal["kmeans", "hdbscan"] = "kmeans"
    n_clusters: int = Field(12, ge=2)
    min_cluster_size: int = Field(10, ge=2)
    n_neighbors: int = Field(15, ge=2)


class CompositesSettings(Settings):
    """Stage 08: the groups of column `by` are averaged; a composite of fewer than `min_faces` faces is refused."""

    by: str = "gender"
    min_faces: int = Field(8, ge=1)


class DemoSettings(Settings):
    """A drawn gallery in place of pictures: how many characters, from which seed."""

    pictures: int = Field(240, ge=1)
    seed: int = 0


class Config(Settings):
    """All settings of one project; each stage has a section named like its table."""

    data_dir: Folder = Path("data")
    raw_dir: Folder
    labels_file: Folder
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
    def _usual_places(cls, values: dict[str, Any]) -> dict[str, Any]:
        raw = Path(str(values.get("raw_dir", Path(str(values.get("data_dir", "data"))) / "raw")))
        return {"raw_dir": raw, "labels_file": raw / "labels.csv", **values}

    @model_validator(mode="after")
    def _classifiers_know_the_options(self) -> Config:
        check_classifiers(self.classifiers, self.attributes)
        return self


def load_config(path: str | os.PathLike[str] | None = None) -> Config:
    """Read a configuration file.

    Parameters
    ----------
    path
        A YAML file; by default ``$FACESTATS_CONFIG``, else ``config/demo.yaml`` in the working folder or
        one above it. Paths inside are relative to the file; ``${package}`` is the installed package.

    Raises
    ------
    ConfigError
        Naming the file, the key, what was found and what is valid.
    """
    file = find_config(path)
    values = _read_yaml(file)
    context = {"folder": file.resolve().parent}
    if isinstance(values.get("attributes", "attributes.yaml"), str):
        named = context["folder"] / values.get("attributes", "attributes.yaml")
        fix = (
            f"Copy config/attributes.yaml of facestats there, or say in {file} where it is: attributes: FILE"
        )
        values["attributes"] = _read_yaml(named, fix=fix)
    try:
        return Config.model_validate(values, context=context)
    except ValidationError as error:
        raise ConfigError(_explain(file, error)) from None


def find_config(path: str | os.PathLike[str] | None = None) -> Path:
    """Return `path`, else ``$FACESTATS_CONFIG``, else ``config/demo.yaml`` here or in a folder above."""
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
        msg = f"{file}: {len(raw)} bytes is no configuration, the limit is {MAX_CONFIG_BYTES}"
        raise ConfigError(msg)
    try:
        values = yaml.safe_load(raw.decode("utf-8-sig").replace("${package}", PACKAGE.as_posix()))
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        msg = f"{file}: not readable as YAML in UTF-8: {error}"
        raise ConfigError(msg) from error
    if not isinstance(values, dict):
        msg = f"{file}: expected settings as `key: value`, found {type(values).__name__}"
        raise ConfigError(msg)
    return values


def _explain(file: Path, error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown setting {where!r}{_nearest(problem['loc'])}")
        else:
            shown = "" if problem["type"] == "missing" else f", found {problem['input']!r}"
            lines.append(f"{where}: {problem['msg']}{shown}")
    return f"{file}:\n  - " + "\n  - ".join(lines)


def _nearest(loc: tuple[int | str, ...]) -> str:
    """Name the valid key nearest to an unknown one, and all valid ones of its section."""
    families: dict[str, type[Settings]] = {"attributes": AttributeSettings, "classifiers": ClassifierSettings}
    model: Any = Config
    for part in loc[:-1]:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else families.get(str(loc[0]), Config)
        if not (isinstance(model, type) and issubclass(model, Settings)):
            model = OptionSettings if "options" in loc else families.get(str(loc[0]), Config)
    valid = sorted(getattr(model, "model_fields", {}))
    close = difflib.get_close_matches(str(loc[-1]), valid, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} Valid here are {', '.join(valid)}."
