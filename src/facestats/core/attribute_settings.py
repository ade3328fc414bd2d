"""Settings of an attribute: its options, its prompts, and the classifiers that label it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

if TYPE_CHECKING:
    from collections.abc import Mapping


def is_folder(model: str) -> bool:
    """Return whether `model` names a folder of this machine, rather than a model of the Hugging Face hub or of open_clip."""
    name = model.removeprefix("local-dir:")
    path = Path(name).expanduser()
    return name != model or path.is_absolute() or name.startswith(".") or path.is_dir()


def _resolve_path(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder", Path())
    return Path(os.path.normpath(folder / path.expanduser()))


def _resolve_model(model: str, info: ValidationInfo) -> str:
    if not info.context:
        return model
    scheme, _, rest = model.rpartition(":")
    is_folder = rest.startswith((".", "~", "/")) or (Path(info.context["folder"]) / rest).is_dir()
    if scheme == "local-dir" or (not scheme and is_folder):
        return f"{scheme}:" * bool(scheme) + str(_resolve_path(Path(rest), info))
    return model


# a path in a configuration file is relative to the folder of that file, also that of the folder of a model
ProjectPath = Annotated[Path, AfterValidator(_resolve_path)]
ModelName = Annotated[str, AfterValidator(_resolve_model)]


class Settings(BaseModel):
    """Base class of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class ModelSettings(Settings):
    """Which model, and how it runs.

    `revision` is a commit, tag or branch of a model of the Hugging Face hub. By default its newest files are
    downloaded once, and used from then on. Only a commit means the same files on every machine.
    """

    model: ModelName
    revision: str | None = Field(None, min_length=1)
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"

    @property
    def full_name(self) -> str:
        """The model, with its revision if one is set."""
        return f"{self.model}@{self.revision}" if self.revision else self.model

    @field_validator("revision")
    @classmethod
    def _is_of_the_hub(cls, revision: str | None, info: ValidationInfo) -> str | None:
        model = info.data.get("model", "")
        if revision is not None and is_folder(model):
            msg = (
                f"only models of the Hugging Face hub have revisions, and {model} is a folder. Remove the revision, or"
                " set the model to a name on the hub"
            )
            raise ValueError(msg)
        return revision


class OptionSettings(Settings):
    """One option of an attribute: phrases for pictures (CLIP), predicates for texts (NLI), exact tags."""

    image: tuple[str, ...] = Field(min_length=1)
    text: tuple[str, ...] = Field(min_length=1)
    tags: tuple[str, ...] = ()


class AttributeSettings(Settings):
    """One perceived attribute: the view it is judged from, its options in order, and their prompts.

    `view` is `face` (the aligned crop) or `full` (the whole picture). Each template holds one ``{}``, which a
    phrase (`image_templates`) or a predicate (`text_templates`) replaces.
    """

    title: str
    view: Literal["face", "full"] = "face"
    image_templates: tuple[str, ...] = Field(min_length=1)
    text_templates: tuple[str, ...] = Field(min_length=1)
    text_question: str | None = None
    options: dict[str, OptionSettings] = Field(min_length=2)

    @field_validator("image_templates", "text_templates")
    @classmethod
    def _check_slot(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        if bad := [t for t in templates if t.count("{}") != 1]:
            msg = f"a template needs exactly one {{}} in the place of the phrase; correct these templates: {bad}"
            raise ValueError(msg)
        return templates

    def image_prompts(self) -> dict[str, list[str]]:
        """Return the prompts of each option: every template with every phrase."""
        return {
            name: [t.format(p) for t in self.image_templates for p in o.image]
            for name, o in self.options.items()
        }

    def hypotheses(self) -> dict[str, list[str]]:
        """Return the NLI hypotheses of each option: every template with every predicate."""
        return {
            name: [t.format(p) for t in self.text_templates for p in o.text]
            for name, o in self.options.items()
        }


class ClassifierSettings(ModelSettings):
    """A Hugging Face image classifier for one attribute (stage 03); its labels are stored beside those from prompts.

    `model` is a name on the hub or a folder. `labels` maps each label of the model to an option of the attribute,
    or to null if it corresponds to none. The columns are named `prefix`_attribute.
    """

    labels: dict[str, str | None] = Field(min_length=1)
    prefix: str = Field("classifier", pattern="^[a-z][a-z0-9_]*$")
    batch_size: int = Field(32, ge=1)


def check_classifiers(
    classifiers: Mapping[str, ClassifierSettings], attributes: Mapping[str, AttributeSettings]
) -> None:
    """Raise ValueError if `classifiers` names an unknown attribute or option; the message lists the valid ones."""
    for name, settings in classifiers.items():
        if name not in attributes:
            msg = f"classifiers names the attribute {name!r}; the attributes are {', '.join(attributes)}"
            raise ValueError(msg)
        options = list(attributes[name].options)
        if unknown := sorted({o for o in settings.labels.values() if o is not None and o not in options}):
            msg = f"classifiers.{name}.labels names the options {unknown}; {name} has {', '.join(options)}"
            raise ValueError(msg)
