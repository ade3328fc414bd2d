"""Stage 04: labels of captions, by natural language inference, a lexicon of tags, or CLIP vectors."""

from facestats.text_labels.label import embed_texts, label_texts, settings

VERSION = 3  # raise it when the same input would give another table

__all__ = ["embed_texts", "label_texts", "settings"]


def __dir__() -> list[str]:
    return __all__
