"""The audit log, verified from the command line."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from typing import TextIO

import rich_click as click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from app.access.roles import Permission, Principal
from app.audit import read, signing, tiles
from app.audit.checkpoint import Head
from app.audit.note import Kind, Verifier
from app.audit.tiles import Proven
from app.audit.verify import Report
from app.audit.verify import verify as verify_log
from app.cli import desk, ground, heads, options, show
from app.cli.failures import AUDIT_FAULT
from app.core.db import Connection
from app.core.errors import Missing


@click.group()
def audit() -> None:
    """The audit log: who did what, sealed into a tree of hashes that nobody can rewrite unseen.

    \b
    Example
      $ imei-gateway audit verify
    """


@audit.command()
@click.option("--checkpoint", "kept", type=click.File("r"), multiple=True, metavar="FILE",
              help="A signed checkpoint of this log that was kept elsewhere; may be given several times.")  # fmt: skip
@options.as_json
@options.acting
def verify(kept: tuple[TextIO, ...], as_json: bool) -> int | None:
    """Derive the whole log again from what is stored, and compare. Exit code 5 and the fault if it has one.

    Signatures are checked with the keys of IMEI_GATEWAY_AUDIT_KEY or IMEI_GATEWAY_AUDIT_KEY_FILE. Each witness is asked
    for what it has signed: that, and a checkpoint kept elsewhere, show that no older copy was put in the log's place.

    \b
    Examples
      $ imei-gateway audit verify
      $ imei-gateway audit verify --checkpoint kept-on-friday.txt
    """
    settings = ground.with_audit_keys(desk.settings())
    known = signing.load(settings).known
    outside = [heads.kept(file.read(), file.name, known) for file in kept]
    watching = signing.witnesses(settings)
    outside += [heads.signed_by(one, known) for one in watching]
    report = _verified(known, outside, as_json)
    if as_json:
        show.json(report)
    else:
        _print(report, len(outside))
    return AUDIT_FAULT if report.fault else None


def _verified(known: Sequence[Verifier], outside: Sequence[Head], quiet: bool) -> Report:
    bar = Progress(
        TextColumn("Verifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=show.console(stderr=True), transient=True, disable=quiet,
    )  # fmt: skip
    with bar:
        task = bar.add_task("entries", total=None)

        async def work(conn: Connection, actor: Principal) -> Report:
            actor.require(Permission.AUDIT_READ)
            tell = partial(_tell, bar, task)
            return await verify_log(conn, tell, known=known, outside=outside)

        return desk.read(work)


def _tell(bar: Progress, task: TaskID, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total)


def _print(report: Report, outside: int) -> None:
    named = [(name, f"{getattr(report, name):,}") for name in ("entries", "sealed", "pending", "checkpoints")]
    named.append(("signatures", f"{report.signed:,}" if report.signed else "not checked: no key is set"))
    named.append(("kept elsewhere", f"{outside:,}"))
    show.draw(show.facts([*named, ("root", report.root)]))
    if report.fault:
        show.say(report.fault, "red", stderr=True)
    else:
        show.say("The log is whole: every sealed entry is as it was written.", "green")


@audit.command("new-key")
@click.argument("name")
def new_key(name: str) -> None:
    """Print a fresh key to sign the log with, which is called NAME, such as gateway.example.com/audit.

    Put the line into the file of IMEI_GATEWAY_AUDIT_KEY_FILE (mode 600). The log is known by that name for ever. To
    change the key, put a new one of the same name above the old one; later, leave of the old one what 'audit key'
    prints.

    \b
    Example
      $ imei-gateway audit new-key gateway.example.com/audit
    """
    click.echo(signing.new(name, Kind.NOTE, secrets.token_bytes).written())


@audit.command()
@options.as_json
@options.acting
def key(as_json: bool) -> None:
    """Print the keys by which others can check what the log has signed, the present one first.

    \b
    Example
      $ imei-gateway audit key
    """
    lines = [one.written() for one in signing.load(ground.with_audit_keys(desk.settings())).known]
    if as_json:
        show.json({"keys": lines})
    elif lines:
        click.echo("\n".join(lines))
    else:
        raise Missing(
            "No key signs this log: IMEI_GATEWAY_AUDIT_KEY_FILE would name one ('audit new-key' makes it).",
            "audit-key-missing",
        )


@audit.command()
@options.acting
def checkpoint() -> None:
    """Print the signed head of the log. Kept elsewhere, it shows later that nothing before it was changed.

    \b
    Example
      $ imei-gateway audit checkpoint > kept-on-friday.txt
    """

    async def work(conn: Connection, actor: Principal) -> str:
        actor.require(Permission.AUDIT_READ)
        return await read.note(conn)

    click.echo(desk.read(work), nl=False)


@audit.command()
@click.argument("entry", type=click.IntRange(1))
@options.as_json
@options.acting
def proof(entry: int, as_json: bool) -> None:
    """Print the proof that the log holds an entry: a tlog-proof, which anybody can check with the log's key.

    \b
    Example
      $ imei-gateway audit proof 1207 > entry-1207.tlog-proof
    """

    async def work(conn: Connection, actor: Principal) -> Proven:
        actor.require(Permission.AUDIT_READ)
        return await tiles.proven(conn, entry)

    found = desk.read(work)
    if as_json:
        show.json(found)
    else:
        click.echo(found.proof, nl=False)
