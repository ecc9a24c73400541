"""Five kinds of flowers with MobileNetV2: the experiments, and a frozen probe of them from a cold start.

python -m benchmarks._imcls_flowers OUT      from JPEG files to OUT/split.json and OUT/oof.npz
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks import Data, require_data
from imcls.config import EvaluationOptions, ImclsConfig, TtaOptions
from imcls.data.options import DataOptions, FolderSource, InputOptions, ProgressiveStep, SplitOptions
from imcls.data.transform_options import AugmentOptions, Flip, RandomResizedCrop
from imcls.loss.options import CrossEntropy, LossOptions
from imcls.model.options import ModelOptions, Timm
from imcls.predictions import Predictions
from suite.engine.options import AdamW, Ema, EngineOptions
from suite.errors import SuiteError

WEIGHTS = "mobilenetv2_100_same_in1k_from_coral_int8_fp16.pth"
SPLIT, OUT_OF_FOLD, CACHE = "split.json", "oof.npz", "cache"
_HALF = (0.5, 0.5, 0.5)


def backbone(data: Data, frozen_stages: int = 0) -> Timm:
    """MobileNetV2 at width 1 with its ImageNet weights, whose batch norms are folded into the convolutions:
    they stay as they are."""
    return Timm(
        name="mobilenetv2_100",
        options={"pad_type": "same"},
        weights=data("imcls/weights") / WEIGHTS,
        mean=_HALF,
        std=_HALF,
        frozen_stages=frozen_stages,
        frozen_norm=True,
    )


def probe_config(data: Data, folder: Path) -> ImclsConfig:
    """The frozen probe as `imcls` does it where nothing else is asked for; the cache in ``folder``."""
    source = FolderSource(root=data("imcls/flowers5"))
    return ImclsConfig(
        name="flowers-probe",
        mode="probe",
        data=DataOptions(source=source, split=SplitOptions(use="all"), cache=folder / CACHE),
        model=ModelOptions(backbone=backbone(data)),
    )


def finetune_config(data: Data, folder: Path) -> ImclsConfig:
    """The same folds, learned with pixels; ``folder`` holds the split of a probe that ran before."""
    probe = probe_config(data, folder)
    split = SplitOptions(use="all", manifest=folder / SPLIT)
    return probe.model_copy(
        update={
            "name": "flowers-finetune",
            "mode": "finetune",
            "data": probe.data.model_copy(update={"split": split}),
            "input": InputOptions(
                progressive=(ProgressiveStep(image_px=160),),
                batch_size=16,
                augment=AugmentOptions(transforms=(RandomResizedCrop(), Flip())),
            ),
            "model": ModelOptions(backbone=backbone(data, frozen_stages=3)),
            "loss": LossOptions(criterion=CrossEntropy(smoothing=0.1)),
            "train": EngineOptions(
                epochs=5,
                optimizer=AdamW(lr=2e-4),
                new_lr=10.0,
                ema=Ema(decay=0.99),
                precision="fp32",
                channels_last="yes",
                accelerator="cpu",
            ),
            "evaluation": EvaluationOptions(
                batch_size=4, every_epochs=0, tta=TtaOptions(flips=("horizontal",))
            ),
        }
    )


def cold_probe(folder: Path) -> tuple[Predictions, float]:
    """The probe in a new process of one thread with an empty cache: its out-of-fold predictions, and its CPU
    seconds from the start of the interpreter to its end, children counted.

    ``folder``, a new one, keeps the split and the decoded images. Raises SuiteError where it fails.
    """
    before = _children_cpu_s()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks._imcls_flowers", str(folder)],
        cwd=Path(__file__).resolve().parents[1],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    if done.returncode:
        raise SuiteError(f"the probe from a cold start failed with exit code {done.returncode}")
    return Predictions.read(folder / OUT_OF_FOLD), _children_cpu_s() - before


def run_probe(data: Data, folder: Path) -> None:
    """Files to split, decoded images, features and probes: what is timed."""
    config = probe_config(data, folder)  # missing data is said before torch is loaded
    from imcls.experiment import prepare
    from imcls.frozen.probe import probe_run

    experiment = prepare(config)
    experiment.manifest.write(folder / SPLIT)
    found = probe_run(config, experiment.table, experiment.cache, experiment.folds)
    found.predictions.write(folder / OUT_OF_FOLD)


def _children_cpu_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    run_probe(require_data, Path(sys.argv[1]))
