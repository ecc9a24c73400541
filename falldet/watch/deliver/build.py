"""Options -> targets; secrets come from the environment here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from falldet.watch.deliver.mqtt import MqttTarget
from falldet.watch.deliver.options import MqttOptions, WebhookOptions
from falldet.watch.deliver.target import Target
from falldet.watch.deliver.webhook import WebhookTarget
from suite.errors import BadInput


def build_targets(
    options: Sequence[WebhookOptions | MqttOptions], environment: Mapping[str, str] = os.environ
) -> tuple[Target, ...]:
    """One target for each. Raises BadInput for two of one name and for a variable that is not set."""
    names = [one.name for one in options]
    for name in names:
        if names.count(name) > 1:
            raise BadInput("is the name of two targets", name, "their deliveries are kept apart by name")
    return tuple(_target(one, environment) for one in options)


def secrets_of(
    options: Sequence[WebhookOptions | MqttOptions], environment: Mapping[str, str] = os.environ
) -> tuple[str, ...]:
    """What no log may hold: for `falldet.watch.log.Log`."""
    named = [
        variable
        for one in options
        for variable in (
            one.headers_env.values() if isinstance(one, WebhookOptions) else filter(None, [one.password_env])
        )
    ]
    given = [value for one in options if isinstance(one, WebhookOptions) for value in one.headers.values()]
    # A short word such as "1" would turn every line into stars.
    return tuple(text for text in [*(environment.get(name, "") for name in named), *given] if len(text) >= 6)


def _target(options: WebhookOptions | MqttOptions, environment: Mapping[str, str]) -> Target:
    def secret(variable: str) -> str:
        if variable not in environment:
            raise BadInput(f"the environment variable {variable} is not set", f"target {options.name}")
        return environment[variable]

    if isinstance(options, WebhookOptions):
        hidden = {header: secret(variable) for header, variable in options.headers_env.items()}
        return WebhookTarget(
            options.name, options.url, {**options.headers, **hidden}, options.timeout_s, options.ca_file
        )
    return MqttTarget(options, None if options.password_env is None else secret(options.password_env))
