"""Where tasks are kept, and what they may take."""

from dataclasses import dataclass, field
from typing import Final

from mcp_mount.validation import Rule, check_fields, is_positive, is_positive_integer

_SCHEMES: Final = ("memory", "redis", "rediss", "unix", "redis+sentinel")


def _is_store(value: object) -> bool:
    return isinstance(value, str) and value.partition("://")[0] in _SCHEMES and "://" in value


@dataclass(frozen=True, slots=True)
class Tasks:
    """How long work is done: operations whose mark says ``{"task": True}``.

    A client that speaks the tasks extension may start them, leave, and fetch the result later.
    Needs the extra ``mcp-mount[tasks]``.

    Attributes:
        store: Where tasks are kept: ``"memory://"`` in this process, which runs them too, or
            ``"redis://host:6379"`` for several processes. Those of ``mcp-mount worker`` run them
            then. Redis needs ``state_key=``, which seals what is kept there.
        concurrency: Tasks that one process runs at once; the others wait. Of one caller half
            of them run at once, in all processes together, and one at the least.
        per_caller: Tasks of one caller that are kept. A new one takes the place of the oldest that
            has ended; where none has, it is refused.
        in_all: Tasks of all callers that are kept. A new one takes the place of one that has ended,
            of whoever has most; where none has, or only of callers with fewer, it is refused.
        keep: Seconds that a task is known from when it was made, besides those that it may wait for
            its turn and run: each as long as its deadline.
        max_bytes: Bytes that are kept of a task, as JSON: of what it is started with, arguments and
            headers, which is refused if it is larger, and of its result, of which a larger one is
            an error. What waits for a worker may have four times as many of one caller, and 64
            times as many of all.
    """

    # A URL may hold a password, which no log and no error has to show.
    store: str = field(default="memory://", repr=False)
    concurrency: int = 10
    per_caller: int = 20
    in_all: int = 1_000
    keep: float = 3600.0
    max_bytes: int = 1024 * 1024

    def __post_init__(self) -> None:
        """Refuse what no task could be kept with.

        Raises:
            MountError: a value is none of its kind.
        """
        count = Rule(is_positive_integer, "a positive integer")
        rules = dict.fromkeys(("concurrency", "per_caller", "in_all", "max_bytes"), count)
        rules["keep"] = Rule(is_positive, "a positive number")
        store = "'memory://' or a URL such as 'redis://host:6379'"
        rules["store"] = Rule(_is_store, store, is_secret=True)
        check_fields(self, rules)

    @property
    def is_shared(self) -> bool:
        """Whether several processes see the tasks."""
        return not self.store.startswith("memory:")
