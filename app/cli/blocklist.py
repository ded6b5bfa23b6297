"""The block list for those who keep a copy of it, from the command line: the whole of it, days, and the filter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import rich_click as click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.access.roles import Permission, Principal
from app.blocklist import bloom, export, feed
from app.blocklist.ask import key_of
from app.blocklist.bloom import Filter
from app.blocklist.export import After, Form, Net
from app.blocklist.filter import File, made
from app.cli import desk, options, outfile, show
from app.cli.follow import follow
from app.core.clock import utc_now
from app.core.db import Connection, Pool

PERHAPS = 3
"""The exit code of `check` where an IMEI is perhaps blocked."""


class Copy(msgspec.Struct, frozen=True):
    """A copy that was written: its lines but for the header, and where to follow what changes from there."""

    file: str
    identifiers: int
    position: int
    cursor: str


@click.group()
def blocklist() -> None:
    """Keep a copy of the block list: download it, follow what changes, check IMEIs offline.

    \b
    Example
      $ imei-gateway blocklist download blocked.ndjson
      $ imei-gateway blocklist follow
    """


blocklist.add_command(follow)


@blocklist.command("download")
@outfile.argument
@click.option("--form", type=click.Choice([it.value for it in Form]), default="ndjson", show_default=True,
              help="operator: the blocked IMEIs alone, as imei,block_date,reasons.")  # fmt: skip
@click.option("--gzip", "zipped", is_flag=True, help="Compress it.")
@options.as_json
@options.acting
def download(file: Path, form: str, zipped: bool, as_json: bool) -> None:
    """Write everything that is blocked or suspect to FILE, all of one moment; without FILE, to standard output.

    IMEIs come by their first 14 digits, which are what is to be compared, in their order; then serials. FILE is
    there once it is whole, and an older one of that name until then. Says where 'blocklist follow' goes on.

    \b
    Examples
      $ imei-gateway blocklist download blocked.ndjson
      $ imei-gateway blocklist download --form operator --gzip blocked.csv.gz
    """
    _must_name_a_file(file, as_json)

    hidden = as_json or outfile.is_stdout(file)

    async def work(pool: Pool, actor: Principal) -> Copy:
        actor.require(Permission.BLOCKLIST_READ)
        with _bar("Downloading", hidden=hidden) as told, outfile.written(file, zipped=zipped) as out:
            return await _copied(pool, Form(form), file, out, told)

    done = desk.on_pool(work)
    if as_json:
        show.json(done)
        return
    many = show.count(done.identifiers, "identifier")
    show.say(f"{many} as of position {done.position}{_in(file)}. What changes from there:", stderr=True)
    show.say(f"  imei-gateway blocklist follow --from {done.cursor}", stderr=True)


def _must_name_a_file(file: Path, as_json: bool) -> None:
    if as_json and outfile.is_stdout(file):
        raise click.UsageError("--json tells of the file on standard output; name a FILE.")


def _in(file: Path) -> str:
    return "" if outfile.is_stdout(file) else f" in {file}"


async def _copied(
    pool: Pool, form: Form, file: Path, out: BinaryIO, told: Callable[[int, int], None]
) -> Copy:
    pieces = export.lines(pool, form, After())
    position = int(await anext(pieces))
    lines = 0 if form is Form.NDJSON else -1
    async for piece in pieces:
        data = str(piece).encode()
        out.write(data)
        lines += data.count(b"\n")
        told(max(lines, 0), 0)
    return Copy(str(file), lines, position, feed.cursor_of(position))


@contextmanager
def _bar(what: str, *, hidden: bool) -> Iterator[Callable[[int, int], None]]:
    """What is told how much is done, of how much (0: nobody knows)."""
    bar = Progress(
        TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=show.console(stderr=True), transient=True, disable=hidden,
    )  # fmt: skip
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, count: bar.update(task, completed=done, total=count or None)


@blocklist.command("day")
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY")
@outfile.argument
@click.option("--change", type=click.Choice([it.value for it in Net]), default="blocked", show_default=True,
              help="IMEIs that the day blocked, unblocked, or left blocked in another way.")  # fmt: skip
@options.as_json
@options.acting
def day(day: datetime, file: Path, change: str, as_json: bool) -> None:
    """Write what a day (UTC) did to IMEIs, in the end, as operators exchange it: imei,block_date,reasons.

    A day is complete, and stays the same for ever, from five minutes past midnight on.

    \b
    Examples
      $ imei-gateway blocklist day 2026-12-22 blocked.csv
      $ imei-gateway blocklist day 2026-12-22 --change unblocked
    """
    _must_name_a_file(file, as_json)

    async def work(conn: Connection, actor: Principal) -> str:
        actor.require(Permission.BLOCKLIST_READ)
        return await export.day(conn, day.date(), Net(change), utc_now())

    text = desk.read(work)
    with outfile.written(file) as out:
        out.write(text.encode())
    count = text.count("\n") - 1
    if as_json:
        show.json({"file": str(file), "day": day.date(), "change": change, "imeis": count})
    elif not outfile.is_stdout(file):
        show.say(f"{show.count(count, 'IMEI')} in {file}.", stderr=True)


@blocklist.command("filter")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@options.as_json
@options.acting
def filter_(file: Path, as_json: bool) -> None:
    """Write the filter over all IMEIs that are blocked at this moment to FILE, for 'blocklist check' and for shops
    that check offline: 1.8 bytes for each. deploy/FILTER.md has readers for other programs.

    \b
    Example
      $ imei-gateway blocklist filter blocked.filter
    """
    with _bar("Making the filter", hidden=as_json) as told:

        async def work(conn: Connection, actor: Principal) -> File:
            actor.require(Permission.BLOCKLIST_READ)
            return await made(conn, told)

        content = desk.read(work).content
    with outfile.written(file) as out:
        out.write(content)
    found = bloom.read(content)
    if as_json:
        show.json({"file": str(file), **_facts(found), "bytes": len(content)})
        return
    many = show.count(found.keys, "blocked IMEI")
    show.say(f"{many}, as of position {found.position}, in {len(content):,} bytes: {file}.")


def _facts(found: Filter) -> dict[str, Any]:
    return {"imeis": found.keys, "position": found.position, "made_at": found.made_at}


@blocklist.command("check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
@click.argument("imeis", metavar="IMEI...", nargs=-1, required=True)
@options.as_json
@options.acting
def check(file: Path, imeis: tuple[str, ...], as_json: bool) -> int | None:
    """Ask a filter that was downloaded, offline. It needs no gateway.

    "Not blocked" is certain, as of the moment when the filter was made. "Perhaps" is to be asked for ('status'): of
    a thousand IMEIs that are not blocked, about one seems so. Devices without an IMEI, suspects and test IMEIs are
    in no filter. Of a handset with two IMEIs, check both. Exit code 3 where one is to be asked for.

    \b
    Example
      $ imei-gateway blocklist check blocked.filter 490154203237518
    """
    found = bloom.read(file.read_bytes())
    answers = [(text, found.may_hold(key)) for text, key in zip(imeis, map(key_of, imeis), strict=True)]
    if as_json:
        results = [{"imei": text, "perhaps": may} for text, may in answers]
        show.json({"results": results, **_facts(found)})
    else:
        _tell(answers, f"not blocked as of {show.moment(found.made_at)} (position {found.position})")
    return PERHAPS if any(may for _, may in answers) else None


def _tell(answers: Sequence[tuple[str, bool]], no: str) -> None:
    for text, may in answers:
        show.say(f"{text}  {'perhaps: ask' if may else no}", "yellow" if may else "")


@blocklist.command("void")
@options.as_json
@options.acting
def void(as_json: bool) -> None:
    """Have everybody who keeps a copy read the whole list anew: no cursor that was given so far counts any more.

    For a gateway that was restored from a backup. What was decided after the backup is gone from here, but not from
    the copies, and without this its positions would be given to other changes.

    \b
    Example
      $ imei-gateway blocklist void
    """
    position = desk.change(feed.void)
    if as_json:
        show.json({"position": position})
        return
    show.say(
        f"The block list goes on from position {position}. Whoever keeps a copy is told to read it anew."
    )
