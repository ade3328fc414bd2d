"""What a character pipeline answers: perceived attributes of one picture, text or both."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class Label:
    """One attribute of one character.

    `value` is None where nothing is known; `source` is probe, agreement, image or text, the first that has a value;
    `image` is what the prompts say of the picture, `text` what the text says; `probs` is the probability of every
    option: that of the probe where there is one, else of the picture, else of the text.
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
    """Labels by attribute (``hair_color``), with the titles that JSON uses (``Hair_Color``)."""

    labels: Mapping[str, Label]
    titles: Mapping[str, str]

    def __getitem__(self, name: str) -> Label:
        return self.labels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def to_dict(self) -> dict[str, str | None]:
        """Return title to value: ``{"Age": "young adult", ...}``."""
        return {self.titles[name]: label.value for name, label in self.labels.items()}

    def scores(self) -> dict[str, dict[str, Any]]:
        """Return title to value, score, source, conflict and the probabilities of all options."""
        return {self.titles[name]: _as_dict(label) for name, label in self.labels.items()}

    def to_json(self) -> str:
        """Write :meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)


@dataclass(frozen=True)
class CharacterResult:
    """The answer for one input; prints as one line of JSON.

    `status` is ok, or why there is no face (the word of the table `faces`); `error` says it as a sentence. What the
    whole picture and the text tell is there without a face, too. `processing_time` is in seconds, the batch's divided
    by its inputs; `cached` says that nothing was computed.
    """

    id: str
    attributes: Attributes
    status: str
    error: str | None
    processing_time: float
    cached: bool = False

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return what JSON Lines hold; `scores` adds status, scores, sources, conflicts and probabilities."""
        plain = {
            "id": self.id,
            "attributes": self.attributes.to_dict(),
            "processing_time": round(self.processing_time, 4),
            "error": self.error,
        }
        return {**plain, "status": self.status, "scores": self.attributes.scores()} if scores else plain

    def to_json(self, *, scores: bool = False) -> str:
        """Write :meth:`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(scores=scores), ensure_ascii=False)

    def __str__(self) -> str:
        return self.to_json()


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
