"""What people say of pictures: answers, truth, and whom to ask next."""

from facestats.human_labels.answers_file import LabelError, write
from facestats.human_labels.labels import read
from facestats.human_labels.sampling import sample
from facestats.human_labels.truth import read_truth

__all__ = ["LabelError", "read", "read_truth", "sample", "write"]
