"""Short form of ``python -m benchmarks truth``: intervals hold the truth, and tests reject seldom where nothing differs."""

import pytest
from benchmarks.truth.cases import every_case

N_DRAWS = 60
CASES = {f"{case.point}: {case.case}": case for case in every_case()}


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in CASES])
def test_what_is_stated_is_measured(name):
    case = CASES[name]
    measured = case.measure(N_DRAWS, seed=1)
    assert case.is_right(measured, N_DRAWS), (name, measured)
