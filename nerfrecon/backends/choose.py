"""Which backend trains: the one that is named, or the fastest one that can, with a line that says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nerfrecon.backends.base import Backend
from nerfrecon.backends.native import NativeBackend
from nerfrecon.backends.native_sdf import NativeSdfBackend
from nerfrecon.backends.tcnn import TcnnBackend
from nerfrecon.backends.torch import TorchBackend
from nerfrecon.config import NerfreconConfig
from nerfrecon.options import BigMlpFieldOptions, DensityFieldOptions, SdfFieldOptions
from suite.errors import BackendUnavailable

AnyField = DensityFieldOptions | SdfFieldOptions | BigMlpFieldOptions


class Chosen(NamedTuple):
    """A backend, and a line for people."""

    backend: Backend
    line: str


def choose(
    config: NerfreconConfig,
    field: AnyField | None = None,
) -> Chosen:
    """The backend for a configuration; `field` where it is not the configuration's own.

    `auto` takes tcnn on a GPU, else native, else torch. Raises BackendUnavailable, with its cause, where the
    one that is named is missing or lacks something that is asked for.
    """
    field = config.field if field is None else field
    makers: dict[str, Callable[[], Backend]] = {
        "tcnn": lambda: _tcnn(config, field),
        "native": lambda: _native(config, field),
        "torch": lambda: _torch(config, field),
    }
    wanted = config.train.backend
    if wanted != "auto":
        backend = makers[wanted]()
        return Chosen(backend, f"backend: {backend.name}, as named")
    causes = []
    for name in ("tcnn", "native"):
        try:
            backend = makers[name]()
        except BackendUnavailable as error:
            causes.append(f"{name}: {error.cause}")
        else:
            return Chosen(backend, f"backend: {backend.name}{_because(causes)}")
    backend = makers["torch"]()
    return Chosen(backend, f"backend: {backend.name}{_because(causes)}")


def _because(causes: list[str]) -> str:
    return f" (not {'; not '.join(causes)})" if causes else ""


def _refuse_bf16(config: NerfreconConfig, name: str, computes: str) -> None:
    if config.train.precision == "bf16":
        hint = "take backend native, or set precision: fp32"
        raise BackendUnavailable(name, f"it computes in {computes}", hint)


def _torch(config: NerfreconConfig, field: AnyField) -> Backend:
    import torch

    _refuse_bf16(config, "torch", "fp32")
    try:
        torch.zeros(1, device=config.device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise BackendUnavailable(f"torch on {config.device}", reason, "set device=cpu") from None
    train = config.train
    return TorchBackend(
        field,
        config.sampling,
        config.losses,
        train.optimiser,
        seed=train.seed,
        most_rays=train.batch.most_rays,
        device=config.device,
        exposure=train.exposure,
        poses=train.poses,
    )


def _native(config: NerfreconConfig, field: AnyField) -> Backend:
    train = config.train
    surface = isinstance(field, SdfFieldOptions)
    for wanted, what in (
        (train.poses, "refine poses"),
        (train.exposure and surface, "fit exposures of a signed distance"),
    ):
        if wanted:
            raise BackendUnavailable("native", f"it does not {what}", "take backend torch")
    if isinstance(field, BigMlpFieldOptions):
        raise BackendUnavailable("native", f"it has no field of type {field.type}", "take backend torch")
    if isinstance(field, SdfFieldOptions) and train.precision == "bf16":
        raise BackendUnavailable("native", "it has no bf16 for a signed distance", "set precision: fp32")
    common = (config.sampling, config.losses, train.optimiser)
    seed, most_rays = train.seed, train.batch.most_rays
    if isinstance(field, SdfFieldOptions):
        return NativeSdfBackend(field, *common, seed=seed, most_rays=most_rays)
    return NativeBackend(
        field,
        *common,
        seed=seed,
        most_rays=most_rays,
        exposure=train.exposure,
        precision=train.precision,
    )


def _tcnn(config: NerfreconConfig, field: AnyField) -> Backend:
    train = config.train
    _refuse_bf16(config, "tcnn", "fp16")
    return TcnnBackend(
        field,
        config.sampling,
        config.losses,
        train.optimiser,
        seed=train.seed,
        most_rays=train.batch.most_rays,
        device=config.device if config.device.startswith("cuda") else "cuda",
        exposure=train.exposure,
        poses=train.poses,
    )
