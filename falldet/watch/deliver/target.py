"""What can be told of an event, and what it means when that fails."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


class DeliveryFailed(Exception):
    """The target has not acknowledged the message; ``why`` is one line without credentials.

    ``refused``: it answered that it never will take this message as it is. ``answered``: it was reached; else
    nothing can be sent to it now. ``after_s``: it asked not to be tried before that.
    """

    def __init__(
        self, why: str, *, refused: bool = False, answered: bool = False, after_s: float | None = None
    ) -> None:
        super().__init__(why)
        self.why, self.refused, self.answered, self.after_s = why, refused, answered or refused, after_s


@runtime_checkable
class Target(Protocol):
    """Somebody to tell; used by one thread."""

    @property
    def name(self) -> str: ...
    def send(self, message: dict[str, Any]) -> None:
        """Return once the target has acknowledged the message. Raises DeliveryFailed.

        ``message["key"]`` is the same in every attempt, so that the receiver can tell a repetition.
        """
        ...

    def close(self) -> None:
        """Let go of what is open; called from another thread, it also ends a `send` that waits."""
        ...
