"""What an attribute is: its options, its prompts, and the classifiers that label it; frozen, typed settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

if TYPE_CHECKING:
    from collections.abc import Mapping


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class OptionSettings(Settings):
    """One option of an attribute: phrases for pictures (CLIP), predicates for texts (NLI), exact tags."""

    image: tuple[str, ...] = Field(min_length=1)
    text: tuple[str, ...] = Field(min_length=1)
    tags: tuple[str, ...] = ()


class AttributeSettings(Settings):
    """One perceived attribute: where it is looked at, its options in order, and their prompts."""

    title: str
    view: Literal["face", "full"] = "face"
    image_templates: tuple[str, ...] = Field(min_length=1)
    text_templates: tuple[str, ...] = Field(min_length=1)
    text_question: str | None = None
    options: dict[str, OptionSettings] = Field(min_length=2)

    @field_validator("image_templates", "text_templates")
    @classmethod
    def _has_slot(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        if bad := [t for t in templates if t.count("{}") != 1]:
            msg = f"a template needs exactly one {{}} where the phrase goes; these have not: {bad}"
            raise ValueError(msg)
        return templates

    def image_prompts(self) -> dict[str, list[str]]:
        """All prompts of each option, templates times phrases."""
        return {
            name: [t.format(p) for t in self.image_templates for p in o.image]
            for name, o in self.options.items()
        }

    def hypotheses(self) -> dict[str, list[str]]:
        """All NLI hypotheses of each option, templates times predicates."""
        return {
            name: [t.format(p) for t in self.text_templates for p in o.text]
            for name, o in self.options.items()
        }


class ClassifierSettings(Settings):
    """A Hugging Face image classifier for one attribute (stage 03), beside the labels from prompts.

    `model` is a name or a folder; `labels` gives each of its labels an option of the attribute, or null for none;
    the columns are called `prefix`_attribute.
    """

    model: str
    labels: dict[str, str | None] = Field(min_length=1)
    prefix: str = Field("classifier", pattern="^[a-z][a-z0-9_]*$")
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: int = Field(32, ge=1)


def check_classifiers(
    classifiers: Mapping[str, ClassifierSettings], attributes: Mapping[str, AttributeSettings]
) -> None:
    """Raise ValueError where `classifiers` names an attribute or option that there is not; lists those there are."""
    for name, settings in classifiers.items():
        if name not in attributes:
            msg = f"classifiers names the attribute {name!r}; there are {', '.join(attributes)}"
            raise ValueError(msg)
        options = list(attributes[name].options)
        if unknown := sorted({o for o in settings.labels.values() if o is not None and o not in options}):
            msg = f"classifiers.{name}.labels names the options {unknown}; {name} has {', '.join(options)}"
            raise ValueError(msg)
