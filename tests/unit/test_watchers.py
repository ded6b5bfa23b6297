"""What a watcher's stream carries while nothing happens: nothing that a browser takes for an event."""

from __future__ import annotations

import asyncio

import pytest
from litestar.response import ServerSentEvent

from app.access.roles import Principal, Role
from app.access.tokens import Shown
from app.api import watchers


async def test_a_quiet_stream_carries_comments_and_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "QUIET", 0.01)
    watcher = watchers.Watcher(Shown(b"", None), Principal("k", "Marie", Role.AUDITOR))
    sent = aiter(ServerSentEvent(watchers._messages(watcher)).iterator)
    async with asyncio.timeout(5):
        assert await anext(sent) == b": nothing new\r\n\r\n"
        watcher.tell(watchers.News('{"id":1}', ended=True))
        rest = [part async for part in sent if not part.startswith(b":")]
    assert rest == [b'event: settled\r\ndata: {"id":1}\r\n\r\n']
