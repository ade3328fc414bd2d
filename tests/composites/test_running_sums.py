from __future__ import annotations

import numpy as np

from facestats.composites.running_sums import GroupSums, Moments, principal_components


def pictures(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 5, 4, 3), dtype=np.uint8)


def test_mean_and_sd_equal_those_of_all_pictures_at_once():
    stack = pictures(50)
    moments = Moments()
    for p in stack:
        moments.add(p)
    assert np.allclose(moments.mean(), stack.mean(axis=0), atol=1e-10)
    assert np.allclose(moments.sd(), np.sqrt(stack.astype(float).var(axis=0).mean(axis=-1)), atol=1e-8)


def test_order_does_not_matter_at_all():
    stack = pictures(40)
    results = []
    for order in (range(40), range(39, -1, -1)):
        moments = Moments()
        for i in order:
            moments.add(stack[i])
        results.append((moments.mean(), moments.sd()))
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])


def test_a_weight_of_two_counts_like_two_pictures():
    stack = pictures(3)
    weighted, repeated = Moments(), Moments()
    for p, w in zip(stack, (2, 1, 1), strict=True):
        weighted.add(p, weight=w * 0.25)
        for _ in range(w):
            repeated.add(p)
    assert np.allclose(weighted.mean(), repeated.mean())
    assert np.allclose(weighted.sd(), repeated.sd())


def summed(values: np.ndarray, in_first: np.ndarray, *, n_resamples: int = 400, seed: int = 0) -> GroupSums:
    sums = GroupSums(n_resamples=n_resamples, seed=seed)
    for start in range(0, len(values), 7):
        sums.add(values[start : start + 7], in_first[start : start + 7])
    return sums


def test_difference_and_t_are_the_textbook_ones():
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(0)
    values, first = rng.normal(100, 20, (30, 12)).astype(np.float32), np.arange(30) < 11
    difference, t, _, size = summed(values, first).result()
    assert np.allclose(difference, values[first].mean(axis=0) - values[~first].mean(axis=0), atol=1e-3)
    welch = ttest_ind(values[first], values[~first], equal_var=False).statistic
    assert np.allclose(t, welch, rtol=2e-3, atol=2e-3)
    sd = np.sqrt((10 * values[first].var(axis=0, ddof=1) + 18 * values[~first].var(axis=0, ddof=1)) / 28)
    assert np.allclose(size, difference / sd * (1 - 3 / (4 * 28 - 1)), rtol=1e-3, atol=1e-3)


def test_a_real_difference_is_found_where_it_is_and_nowhere_else():
    rng = np.random.default_rng(1)
    values, first = rng.normal(100, 10, (60, 40)).astype(np.float32), np.arange(60) % 2 == 0
    values[first, 7] += 40
    p = summed(values, first).result()[2]
    assert p[7] < 0.01
    assert (np.delete(p, 7) > 0.05).all()


def test_false_alarms_keep_to_their_rate():
    rng = np.random.default_rng(2)
    alarms = 0
    for seed in range(60):
        values = rng.normal(100, 10, (24, 30)).astype(np.float32)
        alarms += (summed(values, np.arange(24) < 12, n_resamples=199, seed=seed).result()[2] <= 0.05).any()
    assert alarms <= 9  # 3 expected; 10 or more has probability 0.001


def test_groups_of_unequal_size_and_spread_keep_the_level():
    rng = np.random.default_rng(4)
    alarms = 0
    for seed in range(60):
        values = rng.normal(100, np.repeat([[30], [10]], (10, 40), axis=0), (50, 30)).astype(np.float32)
        p = summed(values, np.arange(50) < 10, n_resamples=199, seed=seed).result()[2]
        alarms += (p <= 0.05).any()
    assert alarms <= 9  # with a pooled variance, 20 to 30


def test_the_size_of_the_blocks_makes_no_difference():
    rng = np.random.default_rng(6)
    values, first = rng.normal(100, 20, (30, 12)).astype(np.float32), np.arange(30) % 3 == 0
    whole = GroupSums(n_resamples=50, seed=0)
    whole.add(values, first)
    for one, other in zip(whole.result(), summed(values, first, n_resamples=50).result(), strict=True):
        assert np.allclose(one, other, atol=1e-4)


def test_a_pixel_that_never_varies_is_no_difference():
    _, t, p, size = summed(
        np.full((20, 3), 128, dtype=np.float32), np.arange(20) < 10, n_resamples=99
    ).result()
    assert (t == 0).all()
    assert (size == 0).all()
    assert (p == 1).all()


def test_components_of_batches_are_those_of_all_at_once():
    rng = np.random.default_rng(3)
    values = (rng.normal(size=(120, 3)) * [9, 4, 1] @ np.linalg.qr(rng.normal(size=(30, 3)))[0].T).astype(
        np.float32
    )
    mean, components, sd, explained = principal_components(iter(np.array_split(values, 3)), 2)
    _, s, vt = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    assert np.allclose(mean, values.mean(axis=0), atol=1e-4)
    assert np.allclose(np.abs((components * vt[:2]).sum(axis=1)), 1, atol=1e-2)
    assert np.allclose(sd, s[:2] / np.sqrt(119), rtol=1e-2)
    assert 0.9 < explained.sum() <= 1


def test_components_of_many_batches_are_those_of_all_at_once():
    rng = np.random.default_rng(5)
    spread = np.arange(1, 801) ** -0.4  # a slow fall, as that of faces
    values = (rng.normal(size=(2048, 800)) * spread).astype(np.float32)
    components = principal_components(iter(np.array_split(values, 8)), 8)[1]
    vt = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)[2]
    assert (np.abs((components * vt[:8]).sum(axis=1)) > 0.99).all()
