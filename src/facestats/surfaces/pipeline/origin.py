"""Which models gave an answer, and what they say of their own limits: toy models know only what they were trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facestats.core.protocols import ModelError
from facestats.core.tables import KEY

if TYPE_CHECKING:
    import polars as pl

    from facestats.core.protocols import Encoder, TextClassifier


def find_unlike(vectors: pl.DataFrame, encoder: Encoder) -> set[str]:
    """Find the pictures that are unlike all that the encoder was trained on.

    Parameters
    ----------
    vectors
        Table of stage 02.
    encoder
        The encoder that made them; one without a domain knows all kinds of pictures.

    Returns
    -------
    Names of the pictures. The vectors of the aligned face and of the whole picture decide together.
    """
    domain = getattr(encoder, "domain", None)
    return set() if domain is None else set(domain.mark(vectors).filter("outside")[KEY])


def describe_origin(
    *, encoder: Encoder | None, classifier: TextClassifier | None, is_unlike: bool = False
) -> dict[str, Any]:
    """Name the models that gave an answer, and warn if they are toys.

    Parameters
    ----------
    encoder, classifier
        The model that saw the picture, and the one that read the text; None if there was none.
    is_unlike
        Whether the picture is unlike all that the encoder was trained on.

    Returns
    -------
    `model`, names by `picture` and `text`, and `warning`, a text or None.
    """
    models = {"picture": encoder, "text": classifier}
    sentences = list_warnings(encoder, classifier)
    if is_unlike and encoder is not None:
        trained_on = getattr(encoder, "domain").trained_on  # noqa: B009 - only toy models have one
        sentences.append(f"This picture is unlike them ({trained_on}): its labels mean nothing.")
    return {
        "model": {kind: model.name for kind, model in models.items() if model is not None},
        "warning": " ".join(sentences) or None,
    }


def list_warnings(*models: object) -> list[str]:
    """List what models say of their limits, each sentence once; a model that is not on this machine says nothing."""
    found = []
    for model in models:
        try:
            domain = getattr(model, "domain", None)
        except ModelError:
            continue
        if domain is not None:
            found.append(_as_sentence(domain.warning))
    return list(dict.fromkeys(found))


def _as_sentence(text: str) -> str:
    return text if text.endswith((".", "!")) else f"{text}."
