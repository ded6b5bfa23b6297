"""A pack: the files of one incident for one reader, under a manifest that the log's key signs, in a zip whose bytes
follow from its contents alone. Nothing of now stands in it: its moment is that of the checkpoint it is proven by."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO

import asyncpg
import msgspec

from app.access.roles import Permission, Principal
from app.audit import note
from app.audit.note import Signer, Verifier
from app.core.db import Connection
from app.core.errors import Missing
from app.core.sql import queries
from app.delivery import partners
from app.evidence import gather, proofs, report
from app.evidence.asked import Asked, checked
from app.evidence.gather import Found
from app.incidents import incident
from app.incidents.incident import Summary

FORM = "imei-gateway-evidence/1"
MANIFEST, SIGNATURE, CHECKPOINT, REPORT, VERIFY = (
    "manifest.json", "manifest.json.sig", "audit/checkpoint.txt", "report.pdf", "verify.py",
)  # fmt: skip
_PIECE = 1 << 18
_SQL = queries("incidents")


class Packed(msgspec.Struct, frozen=True):
    """A pack that was made: its SHA-256 (hex), bytes, and how many log entries were not proven yet."""

    sha256: str
    size: int
    not_yet_proven: int


async def pack(
    conn: Connection, actor: Principal, asked: Asked, signer: Signer, known: list[Verifier], folder: Path
) -> Packed:
    """Writes `pack.zip` into an empty folder. Wants a snapshot of its own. Raises Missing, Forbidden, Conflict."""
    actor.require(Permission.EVIDENCE_READ)
    it = await incident.find(conn, actor, checked(asked).incident)
    if asked.partner is not None:
        await partners.find(conn, asked.partner)
    places = await proofs.places(conn, asked.incident, asked.partner)
    if not places:
        raise Missing(
            f"Nothing of incident {asked.incident} was told to partner {asked.partner}.", "evidence-empty"
        )
    head, found = await proofs.head(conn, places), Found()
    parts = folder / "parts"
    parts.mkdir()
    await _gather(conn, asked, places, head, parts, found)
    unproven = len(places) - found.entries
    keys = [one.written() for one in known]
    (parts / CHECKPOINT).write_text(head["note"], encoding="utf-8")
    (parts / VERIFY).write_bytes(files("app.evidence").joinpath("verify.py").read_bytes())
    standings = await gather.standings(conn, asked)
    origin = head["note"].partition("\n")[0]
    told = report.data(asked, it, found, standings, head, origin, keys, _hashed(parts), unproven)
    (parts / REPORT).write_bytes(report.written(told))
    frozen = await conn.fetchrow(_SQL.find, asked.incident)
    said = _said(asked, it, found, head, keys, frozen, unproven)
    return _zipped(parts, said, signer, folder / "pack.zip")


async def _gather(
    conn: Connection,
    asked: Asked,
    places: list[proofs.Place],
    head: asyncpg.Record,
    parts: Path,
    found: Found,
) -> None:
    await gather.devices(conn, asked, parts, found)
    if asked.movements:
        await gather.movements(conn, asked, parts, found)
    if asked.sightings:
        await gather.sightings(conn, asked, parts, found)
    await gather.entries(conn, asked, places, head, parts, found)


def _hashed(parts: Path) -> dict[str, tuple[int, str]]:
    names = sorted(str(path.relative_to(parts)) for path in parts.rglob("*") if path.is_file())
    return {name: (parts.joinpath(name).stat().st_size, _sha256(parts / name)) for name in names}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _said(
    asked: Asked, it: Summary, found: Found, head: asyncpg.Record, keys: list[str], row: asyncpg.Record | None,
    unproven: int,
) -> dict[str, Any]:  # fmt: skip
    counts = ("devices", "identifiers", "entries", "deliveries", "words", "movements", "sightings")
    frozen = row["frozen"] if row is not None and asked.is_whole else None
    return {
        "form": FORM,
        "incident": it.id,
        "reference": it.reference,
        "for": str(asked.to),
        "partner": asked.partner,
        "owner": asked.owner,
        "as_of": gather.moment(head["sealed_at"]),
        "origin": head["note"].partition("\n")[0],
        "checkpoint": {"size": head["size"], "root": head["root"].hex()},
        "counts": {name: getattr(found, name) for name in counts},
        "frozen": frozen.hex() if frozen else None,
        "not_yet_proven": unproven,
        "keys": keys,
    }


def _zipped(parts: Path, said: dict[str, Any], signer: Signer, path: Path) -> Packed:
    with path.open("w+b") as file, zipfile.ZipFile(file, "w", allowZip64=False) as out:
        listed = _hashed(parts)
        for name in sorted(listed):
            with (parts / name).open("rb") as part:
                _add(out, name, part, zipfile.ZIP_DEFLATED)
        file.seek(0)
        # What is packed can be written in more than one way that unpacks alike: the manifest vouches for this one.
        for name, text in _manifest(said, listed, hashlib.file_digest(file, "sha256").hexdigest(), signer):
            _add(out, name, io.BytesIO(text.encode()), zipfile.ZIP_STORED)
    shutil.rmtree(parts)
    return Packed(_sha256(path), path.stat().st_size, said["not_yet_proven"])


def _add(out: zipfile.ZipFile, name: str, part: BinaryIO, method: int) -> None:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type, info.create_system, info.external_attr = method, 3, 0o100644 << 16
    with out.open(info, "w") as entry:
        shutil.copyfileobj(part, entry, _PIECE)


def _manifest(
    said: dict[str, Any], listed: dict[str, tuple[int, str]], before: str, signer: Signer
) -> list[tuple[str, str]]:
    """The manifest and its signature; `before` is the SHA-256 of all that stands before them in the zip."""
    sizes = {name: {"size": size, "sha256": digest} for name, (size, digest) in listed.items()}
    whole = {**said, "files": sizes, "before": before}
    text = json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=True) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    # No checkpoint looks like this: its second line is a number.
    return [(MANIFEST, text), (SIGNATURE, note.signed(f"{FORM}\nsha256 {digest}\n", [signer]))]
