import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from facestats.core.groups import group_pictures, join_groups, number_people


def test_joined_groups_are_connected_components():
    a, b = np.array([0, 0, 1, 2, 3]), np.array([-1, 5, 5, -1, -1])
    found = join_groups(a, b)
    assert found[0] == found[1] == found[2]
    assert len(set(found)) == 3


@given(st.lists(st.sampled_from(["anna", "ben", "Ben", None]), min_size=1))
def test_equal_names_have_equal_numbers_and_no_name_has_none(names):
    found = number_people(pl.Series(names, dtype=pl.String)).tolist()
    assert all((a == b) == (found[i] == found[j]) for i, a in enumerate(names) for j, b in enumerate(names))
    assert all((number < 0) == (name is None) for number, name in zip(found, names, strict=True))


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["anna", "ben", None])), min_size=1))
def test_only_copies_and_pictures_of_one_person_share_a_group(rows):
    """Pictures of one number are copies; a group holds all pictures that copies and names connect."""
    pictures, names = zip(*rows, strict=True)
    people = number_people(pl.Series(names, dtype=pl.String))
    found = group_pictures(np.eye(6, dtype=np.float32)[list(pictures)], people, min_cosine=0.99)
    for start in range(len(rows)):
        reached, new = set(), {start}
        while new:
            reached |= new
            near = {j for i in new for j in range(len(rows)) if pictures[i] == pictures[j]}
            near |= {j for i in new for j in range(len(rows)) if names[i] and names[i] == names[j]}
            new = near - reached
        assert set(np.flatnonzero(found == found[start])) == reached


def test_without_names_only_copies_share_a_group():
    vectors = np.eye(3, dtype=np.float32)[[0, 1, 0, 2]]
    assert len(set(group_pictures(vectors, None, min_cosine=0.99))) == 3
    assert len(set(group_pictures(vectors, np.full(4, -1), min_cosine=0.99))) == 3
