"""The audit log, verified from the command line."""

from __future__ import annotations

import rich_click as click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from app.access.roles import Permission, Principal
from app.audit.verify import Report
from app.audit.verify import verify as verify_log
from app.cli import desk, options, show
from app.cli.failures import AUDIT_FAULT
from app.core.db import Connection


@click.group()
def audit() -> None:
    """The audit log: who did what, sealed into a tree of hashes that nobody can rewrite unseen.

    \b
    Example
      $ imei-gateway audit verify
    """


@audit.command()
@options.as_json
@options.acting
def verify(as_json: bool) -> int | None:
    """Derive the whole log again from what is stored, and compare. Exit code 5 and the fault if it has one.

    Note the root and size somewhere else: compared with a later run, they show that nobody rewrote all of it.

    \b
    Example
      $ imei-gateway audit verify
    """
    bar = Progress(
        TextColumn("Verifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=show.console(stderr=True), transient=True, disable=as_json,
    )  # fmt: skip
    with bar:
        task = bar.add_task("entries", total=None)
        report = desk.read(lambda conn, actor: _verify(conn, actor, bar, task))
    if as_json:
        show.json(report)
    else:
        _print(report)
    return AUDIT_FAULT if report.fault else None


async def _verify(conn: Connection, actor: Principal, bar: Progress, task: TaskID) -> Report:
    actor.require(Permission.AUDIT_READ)
    return await verify_log(conn, lambda done, total: bar.update(task, completed=done, total=total))


def _print(report: Report) -> None:
    named = [(name, f"{getattr(report, name):,}") for name in ("entries", "sealed", "pending", "checkpoints")]
    show.draw(show.facts([*named, ("root", report.root)]))
    if report.fault:
        show.say(report.fault, "red", stderr=True)
    else:
        show.say("The log is whole: every sealed entry is as it was written.", "green")
