"""The inputs of a project: lists of pictures, captions, data sets, metadata."""

from facestats.inputs.captions import list_captions
from facestats.inputs.datasets import read_dataset
from facestats.inputs.listing import list_images
from facestats.inputs.metadata import one_per_person, read_people
from facestats.inputs.textfiles import CaptionError

__all__ = ["CaptionError", "list_captions", "list_images", "one_per_person", "read_dataset", "read_people"]


def __dir__() -> list[str]:
    return __all__
