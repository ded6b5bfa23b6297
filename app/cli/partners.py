"""Partners, from the command line: added, listed, paused, resumed, told again, removed; each on the audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any

import msgspec
import rich_click as click

from app.access.roles import Permission, Principal
from app.adapters import registry
from app.adapters.contract import Kind
from app.cli import again, desk, kinds, options, proposing, show, trial
from app.core.db import Connection
from app.core.errors import Flaw, Invalid
from app.delivery import partners, tls
from app.delivery.partners import Limits, Partner
from app.delivery.progress import Outstanding, is_worked, outstanding
from app.delivery.scope import KINDS, PartnerScope
from app.delivery.tls import Tls
from app.devices import tac
from app.proposals.partners import AddPartner, NewPartner


@click.group()
def partner() -> None:
    """Add, try, list, pause and resume partners: the organisations that are told what to block.

    \b
    Example
      $ imei-gateway partner kinds
    """


for command in (
    kinds.kinds,
    trial.try_,
    again.parked,
    again.replay,
    again.resync,
    again.reconcile,
    again.remove,
):
    partner.add_command(command)


@partner.command()
@click.argument("name")
@click.option(
    "--adapter", required=True, metavar="KIND", help="How it is spoken to; 'partner kinds' lists them."
)
@click.option(
    "--setting",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting; may be given many times. A list or an object is JSON.",
)
@click.option(
    "--settings", "file", type=click.File("rb"), metavar="FILE.json",
    help="Settings as a JSON object; - is standard input. Secrets belong there: others can see a command.",
)  # fmt: skip
@click.option("--kind", "scope_kinds", multiple=True, type=click.Choice([kind.value for kind in Kind]),
              help="Tell it only of these.")  # fmt: skip
@click.option(
    "--tac", "tacs", multiple=True, metavar="TAC", help="Tell it only of IMEIs with these first 8 digits."
)
@click.option("--brand", "brands", multiple=True, metavar="BRAND",
              help="Tell it only of IMEIs whose TAC is of this brand, in any case ('tac import').")  # fmt: skip
@click.option(
    "--gtin", "gtins", multiple=True, metavar="GTIN", help="Tell it only of serials of these products."
)
@click.option(
    "--incident", "incidents", multiple=True, type=click.Choice(KINDS), help="Tell it only of these."
)
@click.option("--country", "countries", multiple=True, metavar="CODE",
              help="Tell it only of incidents in this country, as FR, or in one that nobody said.")  # fmt: skip
@click.option(
    "--reason", "reasons", multiple=True, metavar="KIND=WORD", help="Its own word for a kind of incident."
)
@click.option("--rate", type=float, help="Calls a second, at most.  [default: no limit]")
@click.option("--burst", type=int, default=10, show_default=True, help="Calls at once after a pause.")
@click.option(
    "--max-inflight", type=int, default=8, show_default=True, help="Calls under way at the same time."
)
@click.option(
    "--allow-private", is_flag=True, help="Its address may be in a private network, or on this machine."
)
@click.option("--ca", type=click.File(), metavar="FILE.pem",
              help="Who vouches for it, in place of the public authorities.")  # fmt: skip
@click.option("--certificate", type=click.File(), metavar="FILE.pem", help="Our certificate for it.")
@click.option("--private-key", type=click.File(), metavar="FILE.pem", help="The key of that certificate.")
@options.as_json
@options.acting
def add(
    *, name: str, adapter: str, pairs: tuple[str, ...], file: Any, scope_kinds: tuple[str, ...],
    tacs: tuple[str, ...], brands: tuple[str, ...], gtins: tuple[str, ...], incidents: tuple[str, ...],
    countries: tuple[str, ...], reasons: tuple[str, ...], rate: float | None, burst: int, max_inflight: int,
    allow_private: bool, ca: IO[str] | None, certificate: IO[str] | None, private_key: IO[str] | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Add a partner. It is told of everything that is decided from now on.

    \b
    Examples
      $ imei-gateway partner add "Operator Nord" --adapter eir_push --setting url=https://eir.nord.example
      $ imei-gateway partner add "National CEIR" --adapter ceir --settings ceir.json --rate 50
      $ imei-gateway partner add "Brand" --adapter knox_guard --settings knox.json --kind imei --brand X
      $ imei-gateway partner add "Sud" --adapter webhook --settings sud.json --certificate us.pem --private-key us.key
    """
    settings = _settings(adapter, pairs, file)
    words = dict(_split(text, "KIND=WORD") for text in reasons)
    scope = PartnerScope(
        tuple(Kind(kind) for kind in scope_kinds), tacs, gtins, brands, incidents, countries, words
    )
    limits = Limits(max_inflight, rate, burst)
    files = {"ca": ca, "certificate": certificate, "private_key": private_key}
    spoken = Tls(**{name: _text(file) for name, file in files.items() if file})
    said = NewPartner(name, adapter, settings, scope, limits, allow_private, spoken)
    with _as_typed():
        found = proposing.propose(AddPartner(said))
    if not as_json:
        _warn(said)
    added: Partner = proposing.done(found, as_json)
    _tell(
        added,
        Outstanding(),
        as_json,
        f"Partner {added.id} ({added.name}) is added; it is told of everything from now on.",
    )


def _warn(said: NewPartner) -> None:
    """Of what a partner would not be told, or nobody finds."""
    kinds.warn_of_files(said.settings.values())
    if unheard := desk.read(lambda conn, _: tac.unheard(conn, said.scope.brands)):
        show.say(
            f"No TAC is known yet of: {', '.join(unheard)}. 'imei-gateway tac import' brings them.", "yellow"
        )


def _text(file: IO[str]) -> str:
    try:
        return file.read()
    except UnicodeDecodeError:
        raise Invalid(f"{file.name} is not text; it would be PEM (-----BEGIN …).", "tls-wrong") from None


def _settings(adapter: str, pairs: tuple[str, ...], file: Any) -> dict[str, Any]:
    try:
        held = json.load(file) if file else {}
    except ValueError as error:
        raise Invalid(f"{file.name} is not JSON: {error}.", "settings-invalid") from None
    if not isinstance(held, dict):
        raise Invalid(f"{file.name} would hold a JSON object of names and values.", "settings-invalid")
    return {**held, **dict(_pair(adapter, text) for text in pairs)}


def _pair(adapter: str, text: str) -> tuple[str, Any]:
    name, value = _split(text, "KEY=VALUE")
    found = registry.adapters().get(adapter)
    return name, kinds.typed(found.settings, name, value) if found else value


def _split(text: str, right: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"'{text}' would be {right}.")
    return name, value


@contextmanager
def _as_typed() -> Iterator[None]:
    """What is refused inside is said of the options, as the person wrote them."""
    try:
        yield
    except Invalid as error:
        flaws = tuple(map(_of_option, error.flaws))
        raise Invalid(error.detail, error.code, flaws) from None


def _of_option(flaw: Flaw) -> Flaw:
    _, part, name, *_ = (*flaw.pointer.split("/"), "", "")
    if part == "settings":
        detail = flaw.detail.removeprefix(f"Setting '{name}': ")
        return Flaw(detail, f"setting {name}" if name else "--settings", flaw.code)
    if part == "scope" and not name:
        return Flaw(flaw.detail, "--tac, --brand, --gtin, --kind", flaw.code)
    each = "country" if name == "countries" else name.removesuffix("s")
    places = {"name": "NAME", "scope": f"--{each}", "limits": f"--{name.replace('_', '-')}"}
    return msgspec.structs.replace(flaw, pointer=places.get(part, f"--{part}"))


async def _remembered(
    conn: Connection, number: int, actor: Principal, now: datetime
) -> tuple[Partner, Outstanding]:
    changed = await partners.remember(conn, "partner.changed", number, actor, now)
    return changed, (await outstanding(conn, number))[number]


def _tell(told: Partner, left: Outstanding, as_json: bool, sentence: str) -> None:
    if as_json:
        show.json(_fields(told, left))
    else:
        show.say(sentence)


def _fields(it: Partner, left: Outstanding) -> dict[str, Any]:
    """A partner as it may be shown: without its secrets."""
    fields: dict[str, Any] = msgspec.structs.asdict(it)
    shown = {"settings": it.public, "tls": tls.public(it.tls)}
    said = {"health": left.health(it), "note": left.note(it)}
    return {**fields, **shown, **said, **msgspec.structs.asdict(left)}


@partner.command("list")
@options.as_json
@options.acting
def list_(as_json: bool) -> None:
    """List partners, their health and what waits to be told.

    \b
    Example
      $ imei-gateway partner list
    """

    async def work(conn: Connection, actor: Principal) -> tuple[list[tuple[Partner, Outstanding]], bool]:
        actor.require(Permission.PARTNERS_READ)
        left = await outstanding(conn)
        return [(it, left[it.id]) for it in await partners.everyone(conn)], await is_worked(conn)

    found, worked = desk.read(work)
    if as_json:
        show.json({"partners": [_fields(it, left) for it, left in found], "worked": worked})
        return
    columns = ("#id", "name", "adapter", "health", "#waiting", "#parked", "told of", "limits", "note")
    show.draw(show.table("", columns, [_row(it, left) for it, left in found]))
    if parked := sum(left.parked for _, left in found):
        orders = show.count(parked, "order is", "orders are")
        show.say(f"\n{orders} parked: 'imei-gateway partner parked' says where, and what to do.", "red")
    if not worked:
        show.say(f"\n{show.UNWORKED}", "bold red")


def _names(scope: PartnerScope) -> tuple[str, ...]:
    return (
        *(f"TAC {it}" for it in scope.tacs), *(f"brand {it}" for it in scope.brands), *scope.gtins,
        *(f"{it} only" for it in scope.incidents), *(f"in {it}" for it in scope.countries),
    )  # fmt: skip


def _row(it: Partner, left: Outstanding) -> tuple[Any, ...]:
    told = ", ".join((*it.scope.kinds, *_names(it.scope)))
    rate = f"{it.limits.rate:g}/s" if it.limits.rate else "any rate"
    limits = f"{rate}, {it.limits.max_inflight} in flight"
    note = it.pause_reason or it.last_fault
    counts = f"{left.pending:,}", f"{left.parked:,}"
    return str(it.id), it.name, it.adapter, show.state(left.health(it)), *counts, told, limits, note


@partner.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why; it is shown in the list and stays on the record.")
@options.as_json
@options.acting
def pause(name: str, reason: str, as_json: bool) -> None:
    """Stop telling a partner (by name or number). What waits, waits; nothing is lost.

    \b
    Example
      $ imei-gateway partner pause "Operator Nord" --reason "Their maintenance until 06:00"
    """

    async def work(
        conn: Connection, actor: Principal, now: datetime
    ) -> tuple[bool, tuple[Partner, Outstanding]]:
        actor.require(Permission.PARTNERS_WRITE)
        number = (await partners.named(conn, name)).id
        if await partners.pause(conn, number, reason):
            return True, await _remembered(conn, number, actor, now)
        return False, (await partners.find(conn, number), (await outstanding(conn, number))[number])

    changed, (paused, left) = desk.change(work)
    said = "is paused" if changed else "was paused already, and the reason stays"
    sentence = f"Partner {paused.id} ({paused.name}) {said}: {paused.pause_reason}"
    _tell(paused, left, as_json, sentence)


@partner.command()
@click.argument("name")
@options.as_json
@options.acting
def resume(name: str, as_json: bool) -> None:
    """Tell a partner again (by name or number), at once and with a clean slate.

    \b
    Example
      $ imei-gateway partner resume "Operator Nord"
    """

    async def work(conn: Connection, actor: Principal, now: datetime) -> tuple[Partner, Outstanding]:
        actor.require(Permission.PARTNERS_WRITE)
        number = (await partners.named(conn, name)).id
        await partners.resume(conn, number)
        return await _remembered(conn, number, actor, now)

    resumed, left = desk.change(work)
    waits = show.count(left.pending, "identifier waits", "identifiers wait")
    _tell(resumed, left, as_json, f"Partner {resumed.id} ({resumed.name}) is told again; {waits}.")
