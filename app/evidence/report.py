"""The report of a pack as PDF/A-2b. What it says is data to the template, and never markup; it knows no clock and no
font of the machine, so the same data is the same bytes everywhere."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import as_file, files
from typing import Any

import asyncpg
import typst

from app.evidence.asked import Asked, For
from app.evidence.gather import Found
from app.incidents.incident import Summary

_MOST_ROWS = 200
_PARTS = {"incident.drafted": "Drafted", "incident.submitted": "Submitted", "incident.approved": "Approved"}
# What the fonts that come with the typesetter can show; all else is told by its number.
_FOREIGN = re.compile(
    "[^\x20-\x7e\xa1-\xac\xae-\u024f\u0370-\u04ff\u1e00-\u1fff\u2010-\u2027\u2030-\u203f\u20a0-\u20bf]"
)


def legible(text: str) -> str:
    """The text as the report shows it: `<U+4E2D>` for a character that has no form there, or gives orders."""

    def shown(match: re.Match[str]) -> str:
        return " " if match[0] in "\t\n\r\xa0" else f"<U+{ord(match[0]):04X}>"

    text = _FOREIGN.sub(shown, text)
    return "".join(one if one.isprintable() else f"<U+{ord(one):04X}>" for one in text)


def written(data: Mapping[str, Any]) -> bytes:
    """The PDF. Raises RuntimeError where the data cannot be set, which is a fault of ours."""
    with as_file(files("app.evidence").joinpath("report.typ")) as template:
        made = typst.compile(
            template,
            format="pdf",
            sys_inputs={"data": json.dumps(_legible(data))},
            pdf_standards=["a-2b"],
            ignore_system_fonts=True,
            timestamp=_moment(data["moment"]),
        )
    assert isinstance(made, bytes)
    return made


def _moment(parts: Sequence[int]) -> datetime:
    year, month, day, hour, minute, second = parts
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def _legible(value: Any) -> Any:
    if isinstance(value, str):
        return legible(value)
    if isinstance(value, Mapping):
        return {name: _legible(one) for name, one in value.items()}
    return [_legible(one) for one in value] if isinstance(value, list | tuple) else value


def data(
    asked: Asked,
    it: Summary,
    found: Found,
    standings: Sequence[Mapping[str, Any]],
    head: asyncpg.Record,
    origin: str,
    keys: Sequence[str],
    parts: Mapping[str, tuple[int, str]],
    unproven: int,
) -> dict[str, Any]:
    """What the template is given. `parts` are the other files of the pack: their sizes and hashes."""
    at = head["sealed_at"].astimezone(UTC)
    heading = it.title if asked.decisions else f"Incident {it.id}"
    pallets, models = _ranked(found.by_pallet), _ranked(found.by_model)
    return {
        "heading": heading, "reference": it.reference, "origin": origin, "to": _to(asked),
        "as_of": _shown(at), "moment": [at.year, at.month, at.day, at.hour, at.minute, at.second],
        "facts": _facts(asked, it), "figures": _figures(asked, found), "note": _note(asked, unproven),
        "decisions": _decisions(asked, it), "value": _value(found),
        "by_model": models[:_MOST_ROWS], "more_models": max(0, len(models) - _MOST_ROWS),
        "by_pallet": pallets[:_MOST_ROWS], "more_pallets": max(0, len(pallets) - _MOST_ROWS),
        "partners": [_standing(one) for one in standings],
        "sightings": [_seen(one) for one in found.seen], "more_sightings": found.sightings - len(found.seen),
        "timeline": [_event(one) for one in found.timeline[:_MOST_ROWS]],
        "more_timeline": max(0, len(found.timeline) - _MOST_ROWS),
        "keys": [["Key of the log", key, "mono"] for key in keys],
        "proof": [
            ["Checkpoint", f"{head['size']:,} entries of {origin}"], ["Tree hash", head["root"].hex(), "mono"],
            ["Entries proven", f"{found.entries:,}"],
        ],
        "files": [[name, f"{size:,}", digest] for name, (size, digest) in parts.items()],
    }  # fmt: skip


def _to(asked: Asked) -> str:
    whose = f" · devices of {asked.owner}" if asked.owner is not None else ""
    return f"for {asked.to}{whose}"


def _facts(asked: Asked, it: Summary) -> list[list[str]]:
    when = " to ".join(_shown(at) for at in (it.occurred_from, it.occurred_to) if at)
    rows = [
        ["Incident", f"{it.id} · {it.reference}"], ["Kind", it.kind], ["State", it.state],
        ["Where", ", ".join(filter(None, (it.site, it.country))) if asked.to is not For.PARTNER else it.country],
        ["When", when],
        ["Police reference", it.police_reference if asked.to is not For.PARTNER else ""],
        ["Declared by", asked.who(it.submitted_by or it.drafted_by)], *_approved(asked, it),
        ["Reason", it.reason if asked.decisions else ""],
    ]  # fmt: skip
    return [row for row in rows if row[1]]


def _approved(asked: Asked, it: Summary) -> list[list[str]]:
    """By all who did; or in an emergency by one, whom another one reviewed."""
    if it.glass_broken_by is None:
        return [["Approved by", ", ".join(map(asked.who, it.assents))]]
    reviewed = f"{it.verdict} by {asked.who(it.reviewed_by)}" if it.verdict else "by nobody yet"
    return [["Approved alone", asked.who(it.glass_broken_by)], ["Reviewed", reviewed]]


def _figures(asked: Asked, found: Found) -> list[list[str]]:
    rows = [["identifiers", f"{found.identifiers:,}"]]
    if asked.goods:
        rows.insert(0, ["devices", f"{found.devices:,}"])
        rows.append(["still blocked (devices)", f"{found.held:,}"])
    rows += [[f"value in {currency or '?'}", f"{amount:,.2f}"] for currency, (amount, _) in _top(found)]
    return rows[:4]


def _top(found: Found) -> list[tuple[str, Any]]:
    return sorted(found.value.items(), key=lambda one: (-one[1][0], one[0]))


def _note(asked: Asked, unproven: int) -> str:
    said = []
    if asked.owner is not None:
        said.append(
            "This pack is of one owner's devices. What concerns others as well stands in it as hash and proof alone."
        )
    if unproven:
        said.append(
            f"{unproven:,} entries of the log were not under a signed checkpoint yet, and are not in this pack."
        )
    return " ".join(said)


def _decisions(asked: Asked, it: Summary) -> list[list[str]]:
    rows = []
    for what in ("drafted", "submitted", "approved", "ended"):
        if by := getattr(it, f"{what}_by"):
            name = it.state if what == "ended" else what
            rows.append([name.capitalize(), _shown(getattr(it, f"{what}_at")), asked.who(by)])
    return rows


def _value(found: Found) -> list[list[str]]:
    rows = [
        [currency or "(none)", f"{amount:,.2f}", f"{count:,}"] for currency, (amount, count) in _top(found)
    ]
    return [*rows, ["no value known", "", f"{found.unvalued:,}"]] if found.unvalued else rows


def _ranked(counted: Counter[str]) -> list[list[str]]:
    ranked = sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    return [[name or "(none)", f"{count:,}"] for name, count in ranked]


def _standing(one: Mapping[str, Any]) -> list[str]:
    done = one["done"] + one["already"]
    counts = (one["wanted"], done, one["accepted"], one["refused"], one["parked"])
    return [one["name"], one["what"], *(f"{count:,}" for count in counts), _brief(one["last_at"])]


def _seen(one: Mapping[str, Any]) -> list[str]:
    return [_brief(one["at"]), one["identifier"], one["by"], one["way"], one["place"], f"{one['times']:,}"]


def _event(one: Mapping[str, Any]) -> list[str]:
    return [_brief(one["at"]), _PARTS.get(one["kind"], one["kind"]), one["by"], str(one["entry"])]


def _shown(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _brief(at: str) -> str:
    return at[:19].replace("T", " ")
