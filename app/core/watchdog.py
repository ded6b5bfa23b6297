"""Notices what holds the event loop up, and says what code does it while it is at it.

An adapter that computes or waits without `await` stops everything else of its process; nothing in the loop could tell.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from app.core import log

_BEAT = 0.05
_FRAMES = 3

_LOG = log.get("core")


@contextmanager
def watched(limit: float = 0.5) -> Iterator[None]:
    """While the block runs, the loop of this thread is watched: `loop.blocked` is logged, once for each time, when it
    has stood still for `limit` seconds, with the code that runs then."""
    watch = _Watch(limit)
    watch.beat()
    threading.Thread(target=watch.look, name="watchdog", daemon=True).start()
    try:
        yield
    finally:
        watch.ended.set()


class _Watch:
    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._beaten_at = time.monotonic()
        self.ended = threading.Event()

    def beat(self) -> None:
        self._beaten_at = time.monotonic()
        if not self.ended.is_set():
            self._loop.call_later(_BEAT, self.beat)

    def look(self) -> None:
        told = 0.0
        while not self.ended.wait(_BEAT):
            seen = self._beaten_at
            # Of a process that was stopped as a whole the loop is not to blame: it beats at once.
            if seen == told or time.monotonic() - seen < self._limit or self._beats_by_now(seen):
                continue
            told = seen
            _LOG.warning("loop.blocked", seconds=round(time.monotonic() - seen, 2), at=self._running())

    def _beats_by_now(self, seen: float) -> bool:
        return self.ended.wait(_BEAT) or self._beaten_at != seen

    def _running(self) -> list[str]:
        """The innermost functions that run in the loop's thread, as `module:line`."""
        frame = sys._current_frames().get(self._thread)
        return [_named(one, line) for one, line in traceback.walk_stack(frame)][:_FRAMES]


def _named(frame: FrameType, line: int) -> str:
    return f"{frame.f_globals.get('__name__', '?')}:{line}"
