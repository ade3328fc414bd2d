from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from facestats.core.attribute_settings import AttributeSettings
from facestats.text_labels.tag_lexicon import find_tags, is_tag_list

FILE = Path(__file__).parents[2] / "config" / "attributes.yaml"
ATTRIBUTES = {
    name: AttributeSettings.model_validate(entry) for name, entry in yaml.safe_load(FILE.read_text()).items()
}


def look(text):
    return {name: hits[0] for name, hits in find_tags([text], ATTRIBUTES).items() if 0 in hits}


@pytest.mark.parametrize(
    "text", ["1girl, solo", "black_hair; smile", "a|b", "tall man, red hair, green scarf"]
)
def test_a_list_of_tags_is_recognized(text):
    assert is_tag_list(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "red hair",
        "A tall man, who wears a red coat, looks at us.",
        "He smiles. Red hair, blue eyes",
        "She is old, really!",
    ],
)
def test_a_sentence_is_not_a_list_of_tags(text):
    assert not is_tag_list(text)


def test_tags_are_found_however_they_are_written():
    found = look("1girl, (Long_Hair:1.2), BLUE EYES, middle-aged, green scarf")
    assert found == {
        "gender": ("female", "1girl"),
        "hair_length": ("long", "(Long_Hair:1.2)"),
        "eye_color": ("blue", "BLUE EYES"),
        "age": ("middle-aged", "middle-aged"),
    }


def test_two_options_of_one_attribute_are_left_open():
    assert "hair_color" not in look("black hair, red hair")
    assert look("ginger hair, red hair")["hair_color"][0] == "red", (
        "two tags of one option are not two options"
    )


def test_a_negated_tag_is_no_exact_tag():
    assert look("no ponytail, smile") == {}


def test_no_tag_stands_for_two_options():
    for attribute in ATTRIBUTES.values():
        tags = [tag for option in attribute.options.values() for tag in option.tags]
        assert len(tags) == len(set(tags))
        assert all(option.tags for option in attribute.options.values())
