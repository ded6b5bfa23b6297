"""Runs a command's asynchronous part and ends it well: Ctrl-C, SIGTERM, a closed terminal unwind it once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import rich_click as click
import uvloop

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], on_told: Callable[[], None] = lambda: None) -> T:
    """What `work` gives. Raises Abort once it has unwound because the process was told to end.

    Being told again changes nothing: an unwinding that was broken off would leave a database running.
    """
    return uvloop.run(_run(work, on_told))


async def _run(work: Coroutine[Any, Any, T], on_told: Callable[[], None]) -> T:
    doing, told = asyncio.ensure_future(work), asyncio.Event()

    def end() -> None:
        if not told.is_set():
            told.set()
            doing.cancel()
            on_told()

    for number in _signals():
        asyncio.get_running_loop().add_signal_handler(number, end)
    try:
        return await doing
    except asyncio.CancelledError:
        if told.is_set():
            raise click.Abort from None
        raise


def _signals() -> list[signal.Signals]:
    """Whoever started us with nohup wants us to outlive the terminal."""
    outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if outlives else [signal.SIGHUP])]
