"""The status of identifiers, asked from the command line."""

from __future__ import annotations

from app.blocklist.specimens import SPECIMENS
from app.core import imei

from .command import Commands


async def test_test_imeis_answer_as_they_do_everywhere(desk: Commands) -> None:
    told = desk.told("status", *map(imei.full, SPECIMENS))["results"]
    assert [(one["status"], one["reason"], one["reference"]) for one in told] == [
        (it.status, it.reason, it.reference) for it in SPECIMENS.values()
    ]
    drawn = desk.run("status", "009900990001010").stdout
    assert "blocked" in drawn
    assert "IG-TEST00STOLEN" in drawn
