"""Long computations in short steps, which a caller runs at once, or with other work between them."""

from collections.abc import Callable, Generator
from typing import ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Steps: TypeAlias = Generator[None, None, T]
"""A computation that yields after each step of at most a few milliseconds, and returns its result."""


def one_step(compute: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Steps[T]:
    """Make a computation of one step: a call of a function."""
    yield
    return compute(*args, **kwargs)


def run_at_once(steps: Steps[T]) -> T:
    """Run a computation to its end, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
