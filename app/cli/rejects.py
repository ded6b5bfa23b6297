"""The reject file on the command line: rejected rows, to be fixed there and sent again by the same options."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any, BinaryIO

import rich_click as click

from app.access.roles import Principal
from app.cli import options, show
from app.core.db import Pool
from app.core.reach import Sight
from app.devices.intake import Format, guess
from app.devices.receipts import Receipt
from app.devices.rejects import RejectFormat, file_of

# What is said of a file holds for its rejected rows as well.
_SAID_AGAIN = {"site", "owner", "currency", "supplier", "mapping", "pairs", "announced"}
_OF_COLUMNS = {"mapping", "pairs"}
_HEAD = 4096
_OBJECTS = (Format.NDJSON, Format.JSON)

option = click.option(
    "--rejects", "rejects_to", type=click.Path(dir_okay=False, writable=True, path_type=Path), metavar="OUT",
    help="Write the rejected rows to a file, to be fixed and sent again; for Excel: OUT.xlsx. Where none was"
    " rejected, no file is written, and an older one of that name is removed.",
)  # fmt: skip


class RejectFile:
    """Where rejected rows are to go, and what came of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_written = False
        self._absence = ""
        self._form = Format.CSV
        self._came_as = ""
        self._head = b""

    def spare(self, source: BinaryIO) -> None:
        """Raises UsageError where the rejected rows would be written over the file that they come from."""
        if Path(source.name).exists() and self.path.exists() and self.path.samefile(source.name):
            raise click.UsageError(f"--rejects would write over {self.path} itself; name another file.")

    def must_fit(self, form: Format) -> None:
        """Raises BadParameter where the name asks for a workbook of what is no table."""
        if form in _OBJECTS and self._wanted is RejectFormat.XLSX:
            text = "JSON objects are given back as such; the file would be named like rejected.ndjson."
            raise click.BadParameter(text, param_hint="--rejects")

    @property
    def _wanted(self) -> RejectFormat | None:
        """The format that the name asks for."""
        ending = self.path.suffix.lower().removeprefix(".")
        return RejectFormat(ending) if ending in (RejectFormat.CSV, RejectFormat.XLSX) else None

    async def write(self, pool: Pool, actor: Principal, of: Receipt) -> None:
        """Writes the rows that this receipt rejected; where there are none, an older file goes, which would be taken
        for its."""
        if not of.rejected:
            self._absence = absent(self.path, "row")
            return
        self._came_as = of.source.rpartition(":")[2]
        wanted = None if self._came_as in _OBJECTS else self._wanted
        async with pool.acquire() as conn:
            found = await file_of(conn, actor, of.receipt_id, wanted)
        self._form = Format(found.format)
        with self.path.open("wb") as file:
            async for part in found.parts(Sight(pool, actor.reach)):
                self._head += part[: _HEAD - len(self._head)]
                file.write(part)
        self.is_written = True

    def told(self) -> str:
        """What came of it, as a sentence."""
        return f"The rejected rows are in {self.path}." if self.is_written else self._absence

    def command(self, *more: str) -> str:
        """The command that sends the file again, with what was said of the first one, and these options."""
        name = f"./{self.path}" if str(self.path).startswith("-") else str(self.path)
        guessed = guess(name, "", self._head) is self._form
        form = () if guessed else ("--format", str(self._form))
        # A dispatch advice has no columns; those of its rejected rows bear names of ours.
        unsaid = _OF_COLUMNS if self._came_as == Format.DESADV else set[str]()
        said = [*options.again(), *_said(_SAID_AGAIN - unsaid)]
        return shlex.join(["imei-gateway", "register", name, *form, *said, *more])


def absent(path: Path, thing: str) -> str:
    """Sees to it that no older file is taken for the one that is not written here, and says so."""
    said = f"No {thing} was rejected, and {path} was not written"
    # What is no file, such as a pipe, is left alone.
    if not path.is_file():
        return f"{said}."
    path.unlink()
    return f"{said}; the older file of that name was removed."


def tell(file: RejectFile, *more: str) -> None:
    """Says what came of it, and how to go on; `more` are options that belong to the next command as well."""
    show.say(file.told())
    if file.is_written:
        show.say("Fix them there, and then send them:")
        show.say(f"  {file.command(*more)}")


def _said(names: Set[str]) -> Iterator[str]:
    ctx = click.get_current_context()
    if ctx is None:
        return
    for given in ctx.command.params:
        value: Any = ctx.params.get(given.name or "")
        if given.name not in names or not value:
            continue
        name = given.opts[0]
        if value is True:
            yield name
        else:
            yield from (part for each in _each(value) for part in (name, each))


def _each(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,)
