"""Awaits a coroutine in another context, without another task."""

from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class run_in_context(Generic[Value]):  # noqa: N801 - awaited like a function
    """Run a coroutine in `context`: what it sets there is not seen outside.

    `asyncio.create_task(…, context=…)` does the same with a task, which costs as much as a whole
    call of a route.
    """

    def __init__(self, coroutine: Coroutine[Any, None, Value], context: Context) -> None:
        self._coroutine = coroutine
        self._context = context

    def __await__(self) -> Generator[Any, None, Value]:
        """Step the coroutine, each time within its context."""
        step: Callable[[Any], Any] = self._coroutine.send
        argument: Any = None
        while True:
            try:
                waited_for = self._context.run(step, argument)
            except StopIteration as stop:
                value: Value = stop.value
                return value
            try:
                yield waited_for
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's to handle
                step, argument = self._coroutine.throw, error
            else:
                step, argument = self._coroutine.send, None
