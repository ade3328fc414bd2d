"""The attributes that people label in the tests of this package."""

from facestats.core.attribute_settings import AttributeSettings


def attribute(*options):
    side = {"image": ["x"], "text": ["x"]}
    return AttributeSettings.model_validate(
        {
            "title": "X",
            "image_templates": ["{}"],
            "text_templates": ["{}"],
            "options": dict.fromkeys(options, side),
        }
    )


ATTRIBUTES = {"gender": attribute("male", "female"), "hair": attribute("red", "black", "blue, or green")}
