"""What people say about pictures: their answers, known truth, and which pictures to ask about next."""

from facestats.human_labels.answers_file import LabelError, write
from facestats.human_labels.labels import read
from facestats.human_labels.sampling import sample
from facestats.human_labels.truth import read_truth

__all__ = ["LabelError", "read", "read_truth", "sample", "write"]


def __dir__() -> list[str]:
    return __all__
