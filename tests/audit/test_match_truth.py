import polars as pl
import pytest

import facestats as fs
from facestats.audit.match_truth import match_truth
from tests.audit.conftest import ATTRIBUTES


def test_pictures_that_both_know_are_kept_in_the_order_of_the_truth():
    truth = pl.DataFrame({"image_id": ["c", "a", "x"], "true_age": ["old", "young", "old"]})
    table = pl.DataFrame({"image_id": ["a", "b", "c"]})
    assert match_truth(truth, table).rows() == [("c", "old"), ("a", "young")]


def test_a_truth_or_table_without_rows_matches_nothing():
    truth = pl.DataFrame({"image_id": ["a"], "true_age": ["old"]})
    assert match_truth(truth.clear(), truth).height == 0
    assert match_truth(truth, truth.clear()).height == 0


@pytest.mark.parametrize("name", ["accuracy", "calibration", "crosstalk", "label_sets", "options"])
def test_truth_of_other_pictures_is_refused(world, name):
    master, truth = world
    lost = truth.with_columns(image_id="raw/" + pl.col("image_id"))
    with pytest.raises(
        fs.tables.TableError, match=r"none of the 600 .* such as 'raw/0000.jpg'.*'0000.jpg'.*relative to"
    ):
        getattr(fs.audit, name)(master, ATTRIBUTES, lost)
