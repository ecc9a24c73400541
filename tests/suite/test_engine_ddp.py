"""Two processes under torchrun train as one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import engine_problem as problem
import numpy as np
import pytest
import torch

from suite.engine.logs import read_log
from suite.errors import BadInput

ROOT = Path(__file__).parents[2]


def test_two_processes_have_the_loss_curve_of_one(tmp_path: Path):
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
        *(problem.__file__, str(tmp_path / "two"), "ranks"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Training: 26 done") == 1  # only one of them speaks
    one = problem.train_ranks(tmp_path / "one")

    rows, expected = (read_log(tmp_path / name / "log.csv") for name in ("two", "one"))
    assert [row["step"] for row in rows] == [row["step"] for row in expected]
    for column in ("lr", "epoch", "loss", "twice"):
        ours, theirs = ([float(row[column]) for row in lines] for lines in (rows, expected))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, err_msg=column)

    saved = torch.load(tmp_path / "two" / "checkpoint.pt", weights_only=True)
    assert (saved["world"], len(saved["random"])) == (2, 2)
    assert not torch.equal(saved["random"][0]["torch"], saved["random"][1]["torch"])  # dropout differs
    for name, weight in one.model.state_dict().items():
        torch.testing.assert_close(saved["ema"][name], weight, rtol=1e-4, atol=1e-6)
    with pytest.raises(BadInput, match=r"checkpoint of 2 process\(es\), these are 1; start 2"):
        problem.fit(
            problem.network(0, norm=False), problem.loss, problem.Batches(4), problem.ranks_options(),
            tmp_path / "two", resume=True,
        )  # fmt: skip
