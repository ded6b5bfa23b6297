"""What practice partners that take files stand on: an SFTP server or a directory, watched, and acknowledgements.

Files come into `in`, are read in the order in which they came, and go to `taken`; what is said of them goes to `out`.
A file that comes again under its name is acknowledged again and not taken again.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote, unquote

import msgspec
from aiohttp import web

from app.sandbox.stage import Stage

_FOLDERS = ("in", "out", "taken")


class InboxOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`directory` is one to watch in place of an SFTP server's own; the gateway's IMEI_GATEWAY_FILES_ROOT is then
    the one above it."""

    user: str = "gateway"
    password: str = "practice-password"  # noqa: S105 (known to all: it guards nothing)
    sftp_port: Annotated[int, msgspec.Meta(ge=0, lt=2**16)] = 0
    directory: str = ""
    acknowledges: bool = True
    look_every_s: Annotated[float, msgspec.Meta(gt=0)] = 0.05


class Verdict(NamedTuple):
    """What became of one identifier of a file."""

    identifier: str
    result: str
    words: str = ""


Take = Callable[[str, bytes], Iterable[Verdict]]


class Unreadable(Exception):
    """The partner takes nothing of a file; the text says why."""


def install(app: web.Application, stage: Stage, options: InboxOptions, take: Take) -> None:
    """Watches for files, which `take` reads."""

    async def watching(_: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            root = options.directory or stack.enter_context(tempfile.TemporaryDirectory(prefix="practice-"))
            inbox = Inbox(Path(root), stage, options, take)
            if not options.directory:
                # SSH takes half a second to load, and most partners speak none.
                from app.sandbox.sftp import listen

                server = await listen(inbox.root, stage, options.user, options.password, options.sftp_port)
                stack.callback(server.close)
            task = asyncio.create_task(inbox.watch())
            stack.callback(task.cancel)
            yield

    app.cleanup_ctx.append(watching)


def settings(spoken: str, options: InboxOptions) -> dict[str, Any]:
    """The settings of a partner row that leaves its files here."""
    if options.directory:
        name = quote(Path(options.directory).name)
        place = {"url": f"file:///{name}/in", "ack_path": f"/{name}/out"}
    else:
        url, _, key = spoken.partition("?")
        account = {"user": options.user, "password": options.password, "host_key": unquote(key)}
        place = {"url": url, "ack_path": "/out", **account}
    return {**place, "acknowledged": options.acknowledges}


class Inbox:
    """The directories of one practice partner."""

    def __init__(self, root: Path, stage: Stage, options: InboxOptions, take: Take) -> None:
        self.root = root
        self._stage = stage
        self._options = options
        self._take = take
        self._known: dict[str, tuple[str, Sequence[Verdict]]] = {}
        for name in _FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)

    async def watch(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(self._options.look_every_s)

    def look(self) -> None:
        """Takes what has come, the oldest first."""
        with os.scandir(self.root / "in") as entries:
            come = [entry for entry in entries if entry.is_file() and not entry.name.startswith(".")]
        for entry in sorted(come, key=lambda entry: (entry.stat().st_mtime_ns, entry.name)):
            body = Path(entry.path).read_bytes()
            os.replace(entry.path, self.root / "taken" / entry.name)
            verdicts = self._taken(entry.name, body)
            if self._options.acknowledges:
                self._acknowledge(entry.name, verdicts)

    def _taken(self, name: str, body: bytes) -> Sequence[Verdict]:
        self._stage.ledger.calls += 1
        digest = hashlib.sha256(body).hexdigest()
        known, verdicts = self._known.get(name, (digest, None))
        if verdicts is None or known != digest:
            try:
                verdicts = list(self._take(name, body))
            except Unreadable as error:
                verdicts = [Verdict("*", "refused", str(error))]
            self._known[name] = digest, verdicts
        return verdicts

    def _acknowledge(self, name: str, verdicts: Sequence[Verdict]) -> None:
        hidden = self.root / "out" / f".{name}.ack"
        hidden.write_text(
            "".join(f"{','.join(line)}\n" for line in (("identifier", "result", "words"), *verdicts))
        )
        os.replace(hidden, self.root / "out" / f"{name}.ack")
