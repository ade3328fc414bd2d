"""The answers of a character pipeline: perceived attributes of one picture, one text or both."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class Label:
    """One attribute of one character.

    Parameters
    ----------
    value
        The option; None if nothing is known, or if its score is below the threshold of the pipeline.
    score
        Score of the option, 0 to 1; it stays where the threshold takes the value away.
    source
        Where the value comes from: `probe`, `agreement`, `image` or `text`, the first of these that has a value.
    conflict
        Whether picture and text disagree.
    image, text
        The option according to the prompts for the picture, and according to the text.
    probs
        Probability of every option, 0 to 1: from the probe if there is one, else from the picture, else from the
        text.
    """

    value: str | None
    score: float | None = None
    source: str | None = None
    conflict: bool = False
    image: str | None = None
    text: str | None = None
    probs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Attributes:
    """Labels by the name of the attribute (``hair_color``), and its titles in JSON (``Hair_Color``)."""

    labels: Mapping[str, Label]
    titles: Mapping[str, str]

    def __getitem__(self, name: str) -> Label:
        return self.labels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Attributes({', '.join(f'{title}={value}' for title, value in self.to_dict().items())})"

    def to_dict(self) -> dict[str, str | None]:
        """Return the value of each title: ``{"Age": "young adult", ...}``."""
        return {self.titles[name]: label.value for name, label in self.labels.items()}

    def scores(self) -> dict[str, dict[str, Any]]:
        """Return value, score, source, conflict and the probabilities of all options for each title."""
        return {self.titles[name]: _as_dict(label) for name, label in self.labels.items()}

    def to_json(self) -> str:
        """Return :meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)


@dataclass(frozen=True)
class CharacterResult:
    """The answer for one input; prints as one line of JSON.

    Parameters
    ----------
    id
        Name of the input.
    attributes
        Its labels. Without a face there are still labels from the whole picture and from the text.
    status
        `ok`, or the reason why there is no face, in the words of table `faces`.
    error
        The reason as a sentence; None if there is no error.
    processing_time
        Seconds of the batch, divided by its number of inputs.
    cached
        Whether the answer comes from the cache.
    model
        Name of the model that saw the picture (`picture`), and of the one that read the text (`text`).
    warning
        Why the labels cannot be trusted: toy models gave them, perhaps for a picture unlike all they know; else None.
    """

    id: str
    attributes: Attributes
    status: str
    error: str | None
    processing_time: float
    cached: bool = False
    model: Mapping[str, str] = field(default_factory=dict)
    warning: str | None = None

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return the content of a line of JSON; `scores` adds status, scores, sources, conflicts and probabilities."""
        plain = {
            "id": self.id,
            "attributes": self.attributes.to_dict(),
            "processing_time": round(self.processing_time, 4),
            "error": self.error,
            "model": dict(self.model),
            "warning": self.warning,
        }
        return {**plain, "status": self.status, "scores": self.attributes.scores()} if scores else plain

    def to_json(self, *, scores: bool = False) -> str:
        """Return :meth:`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(scores=scores), ensure_ascii=False)

    def __str__(self) -> str:
        return self.to_json()

    def __repr__(self) -> str:
        return f"CharacterResult({self.id!r}, {self.status}, {self.attributes!r})"


def _as_dict(label: Label) -> dict[str, Any]:
    return {
        "value": label.value,
        "score": label.score,
        "source": label.source,
        "conflict": label.conflict,
        "image": label.image,
        "text": label.text,
        "probs": dict(label.probs),
    }
