"""Intervals of the indices from posterior samples."""

import time

import numpy as np
import pytest
from known_chains import posterior

from spine.measure import CobbCalibration, Indices, measure, measure_with_intervals
from spine.measure.definitions import DEFINITIONS
from spine.measure.scalars import chain_scalars, identify
from spine.shape import load_shape_modes


def bounds(indices: Indices, key: str) -> tuple[float, float]:
    interval = indices[key].interval
    assert interval is not None
    return interval


def test_many_chains_at_once_are_the_same_as_one_by_one():
    T, samples = posterior(1, 5)
    identity = identify(T, None, None)
    together = chain_scalars(samples, identity)
    for k, sample in enumerate(samples):
        for key, value in chain_scalars(sample[None], identity).items():
            assert together[key][k] == pytest.approx(value[0], abs=1e-9), key


def test_intervals_hold_the_value_and_are_quick():
    T, samples = posterior(2)
    modes = load_shape_modes()
    measure(T, samples=samples, shape_space=modes)
    start = time.process_time()
    indices = measure(
        T, samples=samples, shape_space=modes, calibration=CobbCalibration(1.1, 2.0, 3.0, "test")
    )
    assert time.process_time() - start < 0.3
    for d in DEFINITIONS:
        i = indices[d.key]
        if i.value is None or d.key == "cobb_apex_level":
            continue
        assert i.interval is not None and i.interval[0] <= i.value <= i.interval[1], d.key
        assert i.sdc is not None and i.sdc >= 0
        assert not d.circular or i.interval[1] - i.interval[0] < 180, (
            d.key
        )  # one piece, though it may pass 180
    row = indices.vertebrae[8]
    assert all(low <= row[key] <= high for key, (low, high) in row.intervals.items())
    assert indices.curves[0].cobb_interval_deg == indices["cobb_deg"].interval


def test_intervals_cover_the_truth_when_the_posterior_is_right():
    keys = (
        "cobb_deg",
        "kyphosis_t1_t12_deg",
        "lateral_max_mm",
        "rotation_main_thoracic_deg",
        "pmc_lumbar_deg",
    )
    hits = []
    for seed in range(10, 16):
        T, samples = posterior(seed, 260)
        indices = measure(T, samples=samples[:200])
        truth = chain_scalars(samples[200:], identify(T, None, None))
        hits += [
            (bounds(indices, key)[0] <= truth[key]) & (truth[key] <= bounds(indices, key)[1]) for key in keys
        ]
    assert 0.85 < np.mean(hits) < 0.95


def test_the_mean_of_samples_stands_in_for_the_chain():
    T, samples = posterior(4, 400)
    alone, given = measure_with_intervals(samples), measure_with_intervals(samples, T_body_vertebra=T)
    assert alone.number("kyphosis_t1_t12_deg") == pytest.approx(given.number("kyphosis_t1_t12_deg"), abs=1.0)
    assert given.number("cobb_deg") == measure(T)["cobb_deg"].value


def test_known_smallest_detectable_change_wins():
    T, samples = posterior(5, 50)
    indices = measure(T, samples=samples, sdc={"cobb_deg": 6.5})
    assert indices["cobb_deg"].sdc == 6.5
    spread = chain_scalars(samples, identify(T, None, None))["kyphosis_t1_t12_deg"]
    assert indices["kyphosis_t1_t12_deg"].sdc == pytest.approx(1.96 * np.sqrt(2) * spread.std())
    assert measure(T)["kyphosis_t1_t12_deg"].sdc is None
