"""One thread for small linear algebra.

BLAS spreads even products of 50 x 250 matrices over all cores, where waiting for one another costs many times
the product itself, most of all on a machine that is busy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

F = TypeVar("F", bound=Callable)


def one_thread(function: F) -> F:
    """Decorator: BLAS and OpenMP use one thread while the function runs."""

    @wraps(function)
    def limited(*args: object, **kwargs: object) -> object:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            return function(*args, **kwargs)

    return limited  # pyright: ignore[reportReturnType]
