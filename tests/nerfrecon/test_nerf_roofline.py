"""What the step's speed is measured against: the machine's own multiply-adds, reads and writes of rows."""

from __future__ import annotations

import time

import numpy as np
import pytest

native = pytest.importorskip("nerfrecon.native._native", reason="the native core is not built")


@pytest.mark.parametrize("isa", sorted({*native.runnable(), *native.runnable(bf16=True)}))
def test_multiply_adds_are_counted_and_made(isa: str):
    few, many = 20_000, 800_000
    counted = [native.multiply_adds(isa, rounds) for rounds in (few, many)]
    assert counted[0] > 2 * few and counted[1] == pytest.approx(counted[0] * many / few)
    seconds = [best_s(lambda rounds=rounds: native.multiply_adds(isa, rounds)) for rounds in (few, many)]
    assert seconds[1] > 8 * seconds[0]  # 40 times as many; the machine is busy with other things, too
    rates = [count / time_s for count, time_s in zip(counted, seconds, strict=True)]
    assert all(1e7 < rate < 1e13 for rate in rates)


@pytest.mark.skipif("avx512bf16" not in native.runnable(bf16=True), reason="no AVX-512-BF16 here")
def test_pairs_are_at_most_twice_as_fast():
    """A compiler that sees equal chains of sums computes one of them, and the count is of all."""
    rounds = 800_000
    pairs, single = (
        native.multiply_adds(isa, rounds) / best_s(lambda isa=isa: native.multiply_adds(isa, rounds))
        for isa in ("avx512bf16", "avx512")
    )
    assert pairs < 3 * single


def test_an_instruction_set_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="avx9000"):
        native.multiply_adds("avx9000", 10)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 1001])
def test_rows_are_read_and_written_all_of_them(count: int):
    rng = np.random.default_rng(count)
    table = rng.integers(-8, 8, (64, 2)).astype(np.float32)
    rows = rng.integers(0, 64, count).astype(np.int32)
    assert native.gather_rows(table, rows) == table[rows].sum()
    written = table.copy()
    native.scatter_rows(written, rows)
    assert np.array_equal(written - table, np.repeat(np.bincount(rows, minlength=64)[:, None], 2, 1))


def test_a_table_of_three_columns_is_refused():
    with pytest.raises(ValueError, match="two columns"):
        native.gather_rows(np.zeros((4, 3), np.float32), np.zeros(2, np.int32))


def test_more_rows_take_longer():
    table = np.zeros((1 << 15, 2), np.float32)
    rows = np.random.default_rng(0).integers(0, len(table), 1 << 20).astype(np.int32)
    for call in (native.gather_rows, native.scatter_rows):
        few, many = (
            best_s(lambda call=call: call(table, rows[: 1 << 15])),
            best_s(lambda call=call: call(table, rows)),
        )
        assert many > 6 * few > 0  # 32 times as many


def best_s(call) -> float:
    """The least CPU time of this thread of several calls."""
    times = []
    for _ in range(7):
        before = time.thread_time()
        call()
        times.append(time.thread_time() - before)
    return min(times)
