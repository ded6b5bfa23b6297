"""The night on one page: what was measured, what it took, and what was checked."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.demo.night import Night
from app.demo.players import PLAYERS

_STEPS = {
    "csv": "Write the goods-in file",
    "database": "Start PostgreSQL",
    "partners": "Start the practice partners",
    "service": "Start the gateway",
    "register": "Register",
    "enrol": "Enrol at the brand",
    "declare": "Declare, preview, submit",
    "approve": "Approve",
    "fan_out": "Tell every partner",
    "lift": "Lift the recovered",
    "sets": "Ask every partner what it holds",
    "audit": "Verify the audit log",
}


def summary(night: Night, total: float) -> dict[str, Any]:
    """Everything of the night that a program may want."""
    goods, audit = night.goods, night.audit
    return {
        "ok": not night.checks.faults,
        "rows": goods.verdicts.rows,
        "registered": goods.verdicts.registered,
        "stolen": {
            "pallets": len(goods.pallets),
            "devices": len(goods.stolen),
            "identifiers": goods.identifiers,
        },
        "recovered": {
            "devices": len(goods.recovered),
            "identifiers": sum(len(unit.names) for unit in goods.recovered),
        },
        "seconds": {
            **{name: round(took, 3) for name, took in night.screen.seconds.items()},
            "total": round(total, 3),
        },
        "partners": {kind: _partner(night, kind) for kind in PLAYERS if kind in night.fan_out},
        "memory_mib": {name: round(peak, 1) for name, peak in night.scene.memory.peaks.items()},
        "audit": {"entries": audit.entries, "sealed": audit.sealed, "root": audit.root} if audit else None,
        "checks": [
            {"what": made.what, "ok": not made.fault, "fault": made.fault} for made in night.checks.made
        ],
    }


def _partner(night: Night, kind: str) -> dict[str, Any]:
    standing = night.fan_out[kind]
    tally = standing.block
    if tally is None or standing.first_at is None or standing.last_at is None:
        return {"name": standing.partner, "identifiers": 0}
    took = (standing.last_at - standing.first_at).total_seconds()
    return {
        "name": standing.partner,
        "identifiers": tally.wanted,
        "calls": tally.calls,
        "failed_calls": tally.failed_calls,
        "told_again": night.repeats.get(kind, 0),
        "seconds": round(took, 2),
        "identifiers_per_second": round(tally.wanted / took, 1) if took else None,
    }


def draw(console: Console, said: dict[str, Any]) -> None:
    """The page for people."""
    page = Table.grid(padding=(0, 6))
    page.add_row(_times(said), _memory(said["memory_mib"]))
    for part in (page, _partners(said["partners"]), _checks(said["checks"])):
        console.print()
        console.print(part)
    console.print()
    console.print(_verdict(said))


def _table(title: str, *columns: str) -> Table:
    made = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False
    )
    for column in columns:
        made.add_column(column.lstrip("#"), justify="right" if column.startswith("#") else "left")
    return made


def _times(said: dict[str, Any]) -> Table:
    made = _table("Times", "", "#seconds")
    for name, took in said["seconds"].items():
        if name in _STEPS:
            made.add_row(_pace(name, took, said), f"{took:.2f}")
    made.add_row(Text("In all", style="bold"), Text(f"{said['seconds']['total']:.2f}", style="bold"))
    return made


def _pace(name: str, took: float, said: dict[str, Any]) -> str:
    if name == "register" and took:
        return f"{_STEPS[name]} {said['rows']:,} rows ({said['rows'] / took:,.0f}/s)"
    return _STEPS[name]


def _partners(partners: dict[str, dict[str, Any]]) -> Table:
    columns = ("identifiers", "calls", "failed_calls", "told_again", "seconds", "identifiers_per_second")
    made = _table("Partners", "", *(f"#{column.replace('_', ' ')}" for column in columns))
    for each in partners.values():
        made.add_row(each["name"], *(f"{each.get(column) or 0:,.0f}" for column in columns))
    return made


def _memory(peaks: dict[str, float]) -> Table:
    made = _table("Memory at most", "", "#MiB")
    for name, peak in peaks.items():
        made.add_row(name, f"{peak:,.0f}")
    made.add_row(
        Text("In all, PostgreSQL aside", style="bold"), Text(f"{sum(peaks.values()):,.0f}", style="bold")
    )
    return made


def _checks(checks: list[dict[str, Any]]) -> Table:
    made = _table("Checked", "", "")
    made.show_header = False
    for each in checks:
        mark = Text("✓", style="green") if each["ok"] else Text("✗", style="bold red")
        made.add_row(mark, each["what"] if each["ok"] else f"{each['what']}: {each['fault']}")
    return made


def _verdict(said: dict[str, Any]) -> Text:
    wrong = sum(not each["ok"] for each in said["checks"])
    if wrong:
        return Text(f"{wrong} of {len(said['checks'])} checks failed; see ✗ above.", style="bold red")
    text = "checks hold: exactly the right identifiers, at every partner"
    seconds = said["seconds"]["total"]
    return Text(f"All {len(said['checks'])} {text}, in {seconds:.0f} s.", style="bold green")
