"""Incidents, shown: one with all there is to know of it, or the list of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import rich_click as click
from rich.console import RenderableType

from app.access.roles import Principal
from app.cli import desk, options, preview, show
from app.cli.bars import Bars
from app.cli.options import Number
from app.core.db import Connection
from app.delivery.progress import Refusal, Standing, refusals
from app.incidents.incident import Claims, Incident, Report, Summary, latest, report

MOST_REFUSALS = 10
_PAGE = 1000


@click.command()
@click.argument("incident_id", metavar="ID", type=Number("an incident"))
@click.option(
    "--refusals", "everything", is_flag=True,
    help=f"All that was refused or given up, not only the first {MOST_REFUSALS} of each partner.",
)  # fmt: skip
@options.as_json
@options.acting
def incident(incident_id: int, everything: bool, as_json: bool) -> None:
    """Show one incident: what it names, who decided what, where each partner stands, what was refused.

    \b
    Examples
      $ imei-gateway incident 7
      $ imei-gateway incident 7 --refusals
    """
    found, refused = desk.read(lambda conn, actor: _read(conn, actor, incident_id, everything))
    if as_json:
        fields: dict[str, Any] = msgspec.structs.asdict(found.incident)
        fields |= {name: getattr(found, name) for name in ("claims", "partners", "settled", "sightings")}
        if everything:
            fields["refusals"] = [
                {"partner": standing.partner, **msgspec.to_builtins(it)}
                for standing, all_ in refused
                for it in all_
            ]
        show.json(fields)
    else:
        show.draw(*_drawn(found), *_refused(incident_id, refused))


async def _read(
    conn: Connection, actor: Principal, incident_id: int, everything: bool
) -> tuple[Report, list[tuple[Standing, list[Refusal]]]]:
    found = await report(conn, actor, incident_id)
    refused = [
        (standing, await _refusals(conn, incident_id, standing.partner_id, everything))
        for standing in found.partners
        if _count(standing)
    ]
    return found, refused


async def _refusals(conn: Connection, incident_id: int, partner_id: int, everything: bool) -> list[Refusal]:
    if not everything:
        return await refusals(conn, incident_id, partner_id, after=0, limit=MOST_REFUSALS)
    found: list[Refusal] = []
    while page := await refusals(
        conn, incident_id, partner_id, after=found[-1].refusal if found else 0, limit=_PAGE
    ):
        found += page
    return found


def _count(standing: Standing) -> int:
    return sum(tally.refused + tally.parked for tally in standing.tallies)


def _drawn(found: Report) -> Iterator[RenderableType]:
    it, claims = found.incident, found.claims
    held = _held(it, claims)
    facts: list[tuple[str, RenderableType]] = [
        ("incident", str(it.id)), ("title", it.title), ("state", show.state(it.state)), ("kind", it.kind),
        ("site", it.site), ("happened", _between(it)), ("police reference", it.police_reference),
        ("carriers quote", it.reference),
        *_decisions(it), ("reason", it.reason), ("identifiers", held),
        ("sightings", _counted(found)),
    ]  # fmt: skip
    yield show.facts([(name, value) for name, value in facts if value])
    if it.preview:
        yield from ("", f"As {'submitted' if it.submitted_at else 'drafted'}:", *preview.drawn(it.preview))
    if it.acknowledged or it.include_sold:
        claims_sold = ["that sold devices are claimed"] if it.include_sold else []
        yield f"Acknowledged when it was submitted: {', '.join([*it.acknowledged, *claims_sold])}"
    if found.partners:
        bars = Bars()
        bars.update(found.partners)
        yield from ("", "Partners (confirmed/wanted):", bars)


def _counted(found: Report) -> str:
    return (
        f"{found.sightings:,}; 'sightings --incident {found.incident.id}' lists them"
        if found.sightings
        else ""
    )


def _held(it: Incident, claims: Claims) -> str:
    if claims.lifted and it.approved_at is None:
        return f"{claims.lifted:,} were suspect, none was ever blocked"
    return f"{claims.suspected:,} suspect, {claims.active:,} blocked, {claims.lifted:,} released"


def _between(it: Incident) -> str:
    moments = (show.moment(it.occurred_from), show.moment(it.occurred_to))
    return " to ".join(text for text in moments if text)


def _decisions(it: Incident) -> Iterator[tuple[str, str]]:
    for name in ("drafted", "submitted", "approved", "ended"):
        if by := getattr(it, f"{name}_by"):
            yield name, f"{show.moment(getattr(it, f'{name}_at'))} by {by}"
    if it.state == "submitted" and it.demand and it.approve_until:
        so_far = ", ".join(it.assents) or "nobody"
        yield "approved so far", f"by {so_far}; it takes {it.lacking}, by {show.moment(it.approve_until)}"
    if len(it.assents) > 1 and it.state != "submitted":
        yield "approved by", ", ".join(it.assents)
    if it.glass_broken_by and it.review_until:
        reviewed = f"{it.verdict} by {it.reviewed_by}" if it.verdict else "by nobody yet"
        yield (
            "blocked alone",
            f"by {it.glass_broken_by}; review: {reviewed}, due {show.moment(it.review_until)}",
        )


def _refused(incident_id: int, refused: list[tuple[Standing, list[Refusal]]]) -> Iterator[RenderableType]:
    if not refused:
        return
    rows = [
        (standing.partner, it.identifier, it.op, it.state, f"{it.code} {it.words}".strip())
        for standing, all_ in refused
        for it in all_
    ]
    columns = ("partner", "identifier", "told", "state", "words")
    yield from ("", show.table("What partners refused, or was given up", columns, rows))
    for standing, all_ in refused:
        if (more := _count(standing) - len(all_)) > 0:
            yield f"… and {more:,} more of {standing.partner}: 'imei-gateway incident {incident_id} --refusals'"


@click.command()
@click.option("--state", "in_state", help="Only those that are draft, submitted, approved, closed, …")
@click.option("--reference", metavar="IG-…", help="Only the one of which a carrier quotes this reference.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The newest so many."
)
@options.as_json
@options.acting
def incidents(in_state: str | None, reference: str | None, limit: int, as_json: bool) -> None:
    """List incidents, the newest first.

    \b
    Examples
      $ imei-gateway incidents
      $ imei-gateway incidents --state submitted
      $ imei-gateway incidents --reference IG-5B1F0C93A7E2
    """
    found = desk.read(
        lambda conn, actor: latest(conn, actor, before=None, state=in_state, limit=limit, reference=reference)
    )
    if as_json:
        show.json({"incidents": found})
        return
    columns = ("#id", "state", "title", "#devices", "#identifiers", "drafted", "by")
    show.draw(show.table("", columns, map(_row, found)))


def _row(it: Summary) -> tuple[RenderableType, ...]:
    counts = (f"{it.devices:,}", f"{it.identifiers:,}")
    return str(it.id), show.state(it.state), it.title, *counts, show.moment(it.drafted_at), it.drafted_by
