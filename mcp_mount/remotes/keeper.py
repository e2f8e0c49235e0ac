"""How a task waits that stays in touch with another server, and how others wake it."""

from dataclasses import dataclass, field
from typing import Final

import anyio

_SHORTEST_PAUSE: Final = 0.125


@dataclass(slots=True)
class Keeper:
    """What one event loop knows of its task. A class because others wake the task.

    Attributes:
        patience: Until when a list waits for the first answer, in the event loop's time.
        has_answered: Set when the server has answered, or failed, for the first time.
    """

    patience: float
    has_answered: anyio.Event = field(default_factory=anyio.Event)
    _woken: anyio.Event = field(default_factory=anyio.Event)

    def hurry(self) -> None:
        """Wake the task."""
        self._woken.set()

    async def pause(self, seconds: float, lost: anyio.Event | None = None) -> None:
        """Wait, at the least for a moment; less long when woken, or when the server is lost."""
        self._woken = anyio.Event()
        with anyio.move_on_after(max(seconds, _SHORTEST_PAUSE)):
            async with anyio.create_task_group() as tasks:
                for event in (self._woken, *((lost,) if lost is not None else ())):
                    tasks.start_soon(_cancel_after, event, tasks.cancel_scope)


async def _cancel_after(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
