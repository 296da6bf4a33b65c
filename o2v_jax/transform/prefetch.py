"""Work done in other threads, a bounded number of items ahead, with results in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import repeat
from typing import TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")


def map_in_order(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    ahead: int,
    threads: int = 1,
    stop: Callable[[], None] = lambda: None,
) -> Generator[R]:
    """`map(function, items)` in threads. Results come in the order of the items.

    Args:
        function: called with each item.
        items: taken by the caller's thread, `ahead` more than results were asked for.
        ahead: results that are computed before they are asked for.
        threads: calls at a time.
        stop: called at the end, before calls that still run are waited for.
    """
    pool = ThreadPoolExecutor(threads)
    begun = deque[Future[R]]()
    try:
        for item in items:
            begun.append(pool.submit(function, item))
            if len(begun) > ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        stop()
        pool.shutdown(cancel_futures=True)


def prefetch(items: Iterator[T], *, ahead: int) -> Generator[T]:
    """The items, each made in another thread while those before it are in use."""
    end = object()
    for item in map_in_order(lambda it: next(it, end), repeat(items), ahead=ahead):
        if item is end:
            return
        yield cast("T", item)
