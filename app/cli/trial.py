"""A partner tried out, from the command line: what was sent, what came back, and what is left to do."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import partial

import rich_click as click
from rich.text import Text

from app.access.roles import Permission, Principal
from app.cli import desk, options, show
from app.cli.failures import ERROR
from app.core.clock import utc_now
from app.core.db import Pool
from app.delivery import partners, trial
from app.delivery.trial import TrialOrder
from app.delivery.trial_report import Step, Trial

_STYLES = {
    "done": "green", "already": "green", "accepted": "yellow", "refused": "red", "retry": "red", "unknown": "red",
}  # fmt: skip


@click.command("try")
@click.argument("name")
@click.option("--imei", default="", metavar="IMEI", help="An IMEI that this partner lets you use."
              f"  [default: {trial.TEST_IMEI}, of the GSMA's test range]")  # fmt: skip
@click.option("--serial", default="", metavar="SERIAL", help="A serial that this partner lets you use."
              f"  [default, where it is told of serials only: {trial.TEST_SERIAL}]")  # fmt: skip
@click.option("--release-only", is_flag=True, help="Release alone: what an earlier try left blocked there.")
@click.option(
    "--ref", default="", metavar="REF", help="With --release-only: the partner's reference of the block."
)
@options.as_json
@options.acting
def try_(name: str, imei: str, serial: str, release_only: bool, ref: str, as_json: bool) -> int | None:
    """Call a partner (by name or number), paused or not, about one test identifier: block it and release it
    again. Exit code 1 where it did not take it. An identifier that is known here is refused.

    It is called from this machine, with the settings of the partner; one that takes files in a directory finds them
    in that of this machine. Nothing else changes; the audit log keeps what was sent and what came back.

    \b
    Examples
      $ imei-gateway partner try "National CEIR"
      $ imei-gateway partner try "Brand" --imei 350000000000006
      $ imei-gateway partner try "Operator Nord" --release-only --ref 4711
    """
    asked = TrialOrder(imei, serial, release_only, ref)
    keyring, wire = desk.keyring(), partial(trial.open_wire, files_root=desk.settings().files_root)

    async def work(pool: Pool, actor: Principal) -> Trial:
        actor.require(Permission.PARTNERS_WRITE)
        async with pool.acquire() as conn:
            number = (await partners.named(conn, name)).id
        return await trial.tried(pool, number, asked, actor, utc_now(), keyring, wire)

    found = desk.on_pool(work)
    if as_json:
        show.json(found)
    else:
        _print(found, _again(found, asked))
    return None if found.taken else ERROR


def _print(found: Trial, again: str) -> None:
    sent = ("step", "request", "#status", "#ms", "SHA-256 of the request")
    show.draw(show.table("What was sent", sent, [row for step in found.steps for row in _sent(step)]), "")
    read = ("step", "reading", "code", "what it said", "reference", "#ms")
    show.draw(show.table("What came back", read, map(_read, found.steps)), "")
    if found.taken:
        show.say(found.verdict, "green")
        return
    show.say(found.verdict, "red" if found.still_blocked == "no" else "bold red", stderr=True)
    if found.still_blocked != "no":
        show.say(f"To release it there: {again}", stderr=True)


def _sent(step: Step) -> Iterator[tuple[str, ...]]:
    for one in step.exchanges:
        status = "–" if one.status is None else str(one.status)
        yield step.op, f"{one.method} {one.address}", status, f"{one.ms:,.1f}", one.request_sha256


def _read(step: Step) -> tuple[str | Text, ...]:
    outcome = Text(step.outcome, style=_STYLES[step.outcome])
    return step.op, outcome, step.code, step.fault or step.words, step.ref, f"{step.ms:,.1f}"


def _again(found: Trial, asked: TrialOrder) -> str:
    """The command that releases what this try has left blocked."""
    given = ["--imei", asked.imei] if asked.imei else ["--serial", asked.serial] if asked.serial else []
    refs = [asked.ref, *(step.ref for step in found.steps if step.op == "block")]
    ref = next(filter(None, refs), "")
    words = ["imei-gateway", "partner", "try", found.partner, *given, "--release-only"]
    return shlex.join([*words, *(["--ref", ref] if ref else [])])
