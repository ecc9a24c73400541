"""Work done ahead of who needs it: a thread fills a short queue while the detector is busy."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
_END = object()


def ahead(items: Iterable[T], most: int, *, newest: bool = False) -> Generator[T, None, None]:
    """``items`` in their order, made by another thread, at most ``most`` of them waiting.

    With ``newest`` the oldest waiting one is dropped where the queue is full, as for a camera that does not
    wait. What ``items`` raises is raised here, after all that came before it. Leaving early (``close``) ends
    the thread and closes ``items``.
    """
    waiting: deque[Any] = deque()
    change = threading.Condition()
    left = threading.Event()

    def put(item: object, droppable: bool) -> bool:
        with change:
            if droppable and newest and len(waiting) >= most:
                waiting.popleft()
            change.wait_for(lambda: left.is_set() or not droppable or len(waiting) < most)
            waiting.append(item)
            change.notify_all()
        return not left.is_set()

    def fill() -> None:
        source = iter(items)
        try:
            for item in source:
                if not put(item, droppable=True):
                    return
            put(_END, droppable=False)
        except BaseException as error:
            put(_Raised(error), droppable=False)
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()

    filler = threading.Thread(target=fill, name="ahead", daemon=True)
    filler.start()
    try:
        while True:
            with change:
                change.wait_for(lambda: bool(waiting))
                item = waiting.popleft()
                change.notify_all()
            if item is _END:
                return
            if isinstance(item, _Raised):
                raise item.error
            yield item
    finally:
        with change:
            left.set()
            change.notify_all()
        filler.join(timeout=5)  # a camera may hang inside its driver; the thread is a daemon


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error
