"""What many clients are told of changes when there are many."""

from collections import Counter

import anyio
import pytest
from anyio.lowlevel import checkpoint
from mcp.shared.subscriptions import PromptsListChanged, ServerEvent, ToolsListChanged

from mcp_mount.remotes import changes
from mcp_mount.remotes.changes import ListChanges

LISTENERS = 1_000


async def test_the_more_listen_the_less_often_they_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Security: a server that changes all the time took a core to tell of it; nothing is lost."""
    heard: Counter[type[ServerEvent]] = Counter()
    most_at_once = last = 0
    # So that it comes to an end soon.
    monkeypatch.setattr(changes, "_PAUSE", 0.001)
    told = ListChanges(lambda _: ())
    with told.telling():
        (feed,) = told._feeds.values()  # noqa: SLF001 - a client's stream is a listener of it
        for _ in range(LISTENERS):
            feed.subscribe(lambda event: heard.update([type(event)]))
        for number in range(100):
            told.tell(tools=True, resources=False, prompts=number == 50)
            await checkpoint()
            most_at_once = max(most_at_once, heard.total() - last)
            last = heard.total()
        assert heard == {ToolsListChanged: LISTENERS}
        assert most_at_once <= 100
        with anyio.fail_after(20):
            while heard.total() < 3 * LISTENERS:
                await checkpoint()
    assert heard == {ToolsListChanged: 2 * LISTENERS, PromptsListChanged: LISTENERS}
