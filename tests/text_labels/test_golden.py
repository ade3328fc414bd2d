from __future__ import annotations

import numpy as np
import polars as pl

import facestats as fs
from facestats import text_labels
from facestats.core.attribute_settings import AttributeSettings
from facestats.models.text_windows import split_text
from tests.golden import check_golden

TEXTS = [
    "A woman with red hair and blue eyes.",
    "An old man, grey hair. He wears a green hat!",
    "red hair, blue eyes, 1girl, a very old, grey castle",
    "(black hair:1.2), blue_eyes; old-man | smiling",
    "red hair, black hair, 1boy",
    "a red haired girl, the hat of a man, red hair",  # four words each
    "a red girl, the hat of a man, red hair",  # three
    "red hair. 1girl, blue eyes",
    "   ",
    None,
    "A woman with red hair and blue eyes.",
    "nothing to see",
    "Red Hair\n[blue eyes]",
    "the hair is red or black",
]
OPTIONS = {
    "hair": {
        "red": (["has red hair", "is red haired"], ["red hair", "ginger"]),
        "black": (["has black hair"], ["black hair"]),
        "grey": (["has grey hair"], []),
    },
    "age": {"young": (["is a girl", "is young"], ["1girl", "girl"]), "old": (["is an old man"], ["old man"])},
    "eyes": {"blue": (["has blue eyes"], ["blue eyes"]), "green": (["has green eyes"], ["green eyes"])},
}
QUESTIONS = {"hair": "The hair is said to be red or black.", "age": "It says the person is old."}
ATTRIBUTES = {
    name: AttributeSettings.model_validate(
        {
            "title": name,
            "image_templates": ["{}"],
            "text_templates": ["The person {}.", "Somebody {}."],
            "text_question": QUESTIONS.get(name),
            "options": {o: {"image": [o], "text": text, "tags": tags} for o, (text, tags) in options.items()},
        }
    )
    for name, options in OPTIONS.items()
}


class Overlap:
    """Logits from the share of the words of the hypothesis that the text holds."""

    name = "overlap@1"

    def score(self, texts, hypotheses):
        out = np.zeros((len(texts), len(hypotheses), 2), dtype=np.float32)
        for i, text in enumerate(texts):
            for j, hypothesis in enumerate(hypotheses):
                wanted = set(hypothesis.lower().strip(".").split())
                share = len(wanted & set(text.lower().replace(".", " ").replace(",", " ").split())) / len(
                    wanted
                )
                out[i, j] = 1.1 - 2.5 * share, 4 * share - 1.4 + 0.01 * len(hypothesis)
        return out


def test_the_golden_values_of_text_labels():
    captions = pl.DataFrame({"image_id": [f"{i:02d}.jpg" for i in range(len(TEXTS))], "text": TEXTS})
    classifier = Overlap()
    words = " ".join(
        f"Sentence {i} is of {'many ' * (i % 4)}words, and ends; here it does." for i in range(9)
    )
    check_golden(
        "text_labels",
        text_labels.VERSION,
        {
            "plain": fs.label_texts(captions, classifier, ATTRIBUTES),
            "strict": fs.label_texts(captions, classifier, ATTRIBUTES, threshold=0.62).select(
                "text_hair", "text_age"
            ),
            "asked": fs.label_texts(captions, classifier, ATTRIBUTES, threshold=0.45, ask_first=True),
            "tags": fs.label_texts(captions, classifier, ATTRIBUTES, ask_first=True, lexicon=True),
            "vectors": fs.text_labels.embed_texts(captions, fs.testing.FakeEncoder()),
            "windows": split_text(words + " x" * 40 + " y" + "z" * 190, 16, lambda text: -(-len(text) // 4)),
        },
    )
