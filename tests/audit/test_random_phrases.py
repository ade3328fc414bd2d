"""Phrases that mean nothing to a model are told from those that do, with the demo's CLIP."""

import itertools

import numpy as np
import pytest

import facestats as fs
from facestats.audit.random_phrases import MEANINGLESS, measure_meaning, names_its_option

WHAT = ("blorp zxqv", "qqq", "wug", "xkcd", "fnord grue", "asdf")


@pytest.fixture(scope="module")
def config():
    return fs.load_config("config/demo.yaml")


@pytest.fixture(scope="module")
def clip(config):
    return fs.models.clip(config.embeddings)


def vectors_of(clip, attribute):
    """In the demo's space the prompts of an option lie among its pictures."""
    prompts = [p for ps in attribute.image_prompts().values() for p in ps]
    return clip.encode_texts(prompts)


def flagged(clip, attribute, vectors):
    meaning = measure_meaning(clip, attribute, vectors)
    return {
        p for (o, p), far in meaning.items() if far < MEANINGLESS and not names_its_option(attribute, o, p)
    }


def planted(attribute, option, phrases):
    settings = attribute.options[option].model_copy(update={"image": tuple(phrases)})
    return attribute.model_copy(update={"options": {**attribute.options, option: settings}})


@pytest.mark.slow
def test_no_phrase_of_the_configuration_is_called_nonsense(clip, config):
    for attribute in config.attributes.values():
        vectors = vectors_of(clip, attribute)
        assert not flagged(clip, attribute, vectors)
        assert not flagged(clip, attribute, vectors[:0])


@pytest.mark.slow
def test_nonsense_is_found_in_every_option(clip, config):
    found, ways = [], itertools.cycle(["one", "all", "only"])
    for i, attribute in enumerate(config.attributes.values()):
        vectors = vectors_of(clip, attribute)
        for j, (option, settings) in enumerate(attribute.options.items()):
            which = next(ways)  # one of the phrases, all of them, or the only one there is
            what, other = WHAT[(i + j) % len(WHAT)], WHAT[(i + j + 1) % len(WHAT)]
            wrong = {"one": (what, *settings.image[1:]), "all": (what, other), "only": (what,)}[which]
            changed = planted(attribute, option, wrong)
            expected = {what, other} if which == "all" else {what}
            now = flagged(clip, changed, vectors)
            found += [phrase in now for phrase in expected]
            assert now <= expected
    assert np.mean(found) >= 0.95


def test_more_pictures_than_are_looked_at_change_little(clip, config):
    attribute = config.attributes["gender"]
    vectors = vectors_of(clip, attribute)
    few, many = (measure_meaning(clip, attribute, np.tile(vectors, (n, 1))) for n in (1, 500))
    assert few.keys() == many.keys()
    assert np.allclose(list(few.values()), list(many.values()), rtol=0.1, atol=0.1)


def test_a_phrase_that_is_called_like_its_option_is_spared(config):
    gender, hair = config.attributes["gender"], config.attributes["hair_color"]
    assert names_its_option(gender, "non-binary", "a non-binary person")
    assert names_its_option(gender, "non-binary", "an androgynous person")
    assert not names_its_option(gender, "non-binary", "a blorp person")
    assert not names_its_option(hair, "brown", "a person with blorp hair")
