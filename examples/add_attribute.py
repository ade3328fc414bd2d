"""Label the faces of a finished run by an attribute of your own. One entry of settings is enough; no picture is opened.

python examples/add_attribute.py [CONFIG]
"""

import sys

import facestats as fs
from facestats.core.config import AttributeSettings

EXPRESSION = {
    "title": "Expression",
    "view": "face",
    "image_templates": ["a photo of {}.", "a portrait of {}."],
    "text_templates": ["The person {}."],
    "options": {
        "smiling": {"image": ["a smiling person"], "text": ["smiles"]},
        "serious": {"image": ["a person with a serious face"], "text": ["looks serious"]},
    },
}


def main(config: str | None = None) -> None:
    """Label the stored vectors again; in a project of your own, put the entry into config/attributes.yaml."""
    cfg = fs.load_config(config)
    expression = {"expression": AttributeSettings.model_validate(EXPRESSION)}
    embeddings = fs.Store(cfg.data_dir).read("embeddings")
    labels = fs.label_attributes(embeddings, fs.models.clip(cfg.embeddings), expression)
    print(labels["expression"].value_counts(sort=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
