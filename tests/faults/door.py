"""A socket on the way to the database that breaks once, at a chosen statement: before the database has heard it, or
after it has answered. So an error that we see has happened, or has not."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

_NAME = ".s.PGSQL.5432"


class Door:
    """The way through. `broke` says whether it has broken yet."""

    def __init__(self, dsn: str) -> None:
        self.folder = tempfile.mkdtemp(prefix="door")
        self._way = parse_qs(urlsplit(dsn).query)["host"][0]
        self.dsn = dsn.replace(self._way, self.folder)
        self.broke = False
        self._words, self._heard, self._left = b"", False, 0
        self._tasks: set[asyncio.Task[None]] = set()

    def break_at(self, words: str, *, heard: bool) -> None:
        """The next statement with these words meets a broken connection. One that is prepared is sent in two parts:
        what is to be run, and that it is to be run; COMMIT is sent in one."""
        self._words, self._heard, self._left = words.encode(), heard, 1 if words == "COMMIT" else 2
        self.broke = False

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._pass, f"{self.folder}/{_NAME}")

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self.folder)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        beyond, answer = await asyncio.open_unix_connection(f"{self._way}/{_NAME}")
        back = asyncio.create_task(_pump(beyond, writer))
        try:
            last = await self._watch(reader, answer)
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            if last:
                answer.write(last)
                await beyond.read(1)  # it has been done
        except asyncio.CancelledError:
            return
        finally:
            back.cancel()
            writer.transport.abort()
            answer.transport.abort()
            self._tasks.discard(task)

    async def _watch(self, reader: asyncio.StreamReader, answer: asyncio.StreamWriter) -> bytes:
        """Hands on what comes, up to the statement at which to break; gives that if it is to be heard."""
        ours = False
        while data := await reader.read(65536):
            ours = ours or bool(self._words and self._words in data)
            self._left -= ours
            if ours and self._left == 0:
                self._words, self.broke = b"", True
                return data if self._heard else b""
            answer.write(data)
        return b""


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


@asynccontextmanager
async def door(dsn: str) -> AsyncIterator[Door]:
    made = Door(dsn)
    await made.open()
    try:
        yield made
    finally:
        await made.close()
