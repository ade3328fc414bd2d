from __future__ import annotations

import numpy as np

from facestats.composites.running_sums import Moments, PermutedSums, principal_components


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


def permuted(
    values: np.ndarray, in_first: np.ndarray, *, n_permutations: int = 400, seed: int = 0
) -> PermutedSums:
    n_first = int(in_first.sum())
    sums = PermutedSums(n_first, len(values) - n_first, n_permutations=n_permutations, seed=seed)
    for start in range(0, len(values), 7):
        sums.add(values[start : start + 7], in_first[start : start + 7])
    return sums


def test_difference_and_t_are_the_textbook_ones():
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(0)
    values, first = rng.normal(100, 20, (30, 12)).astype(np.float32), np.arange(30) < 11
    difference, t, _ = permuted(values, first).result()
    assert np.allclose(difference, values[first].mean(axis=0) - values[~first].mean(axis=0), atol=1e-3)
    assert np.allclose(t, ttest_ind(values[first], values[~first]).statistic, rtol=2e-3, atol=2e-3)


def test_a_real_difference_is_found_where_it_is_and_nowhere_else():
    rng = np.random.default_rng(1)
    values, first = rng.normal(100, 10, (60, 40)).astype(np.float32), np.arange(60) % 2 == 0
    values[first, 7] += 40
    p = permuted(values, first).result()[2]
    assert p[7] < 0.01
    assert (np.delete(p, 7) > 0.05).all()


def test_false_alarms_keep_to_their_rate():
    rng = np.random.default_rng(2)
    alarms = 0
    for seed in range(60):
        values = rng.normal(100, 10, (24, 30)).astype(np.float32)
        alarms += (
            permuted(values, np.arange(24) < 12, n_permutations=199, seed=seed).result()[2] <= 0.05
        ).any()
    assert alarms <= 9  # 3 expected; 10 or more has probability 0.001


def test_group_sizes_are_kept_in_every_exchange():
    values = np.ones((20, 1), dtype=np.float32)
    sums = permuted(values, np.arange(20) < 6, n_permutations=50)
    assert (sums._sums[:-1] == 6).all()


def test_a_pixel_that_never_varies_is_no_difference():
    _, t, p = permuted(
        np.full((20, 3), 128, dtype=np.float32), np.arange(20) < 10, n_permutations=99
    ).result()
    assert (t == 0).all()
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
