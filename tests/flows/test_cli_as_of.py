"""A declaration as of an earlier moment says so wherever people read it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from .test_cli import PALLET, STOLEN, Gateway

THEN = datetime(2026, 1, 2, 11, 30, tzinfo=UTC)


def test_the_moment_is_shown_where_it_is_decided_on(tmp_path: Path) -> None:
    gateway, shown = Gateway(tmp_path / "data"), f"{THEN.astimezone():%Y-%m-%d %H:%M:%S %Z}"
    with gateway.started("up", "--port", "0", until="Administrator key"):
        named = ("declare", "--title", "Paris", "--pallet", PALLET, "--imei", STOLEN, "--draft", "--as-of")
        drafted = gateway.run(*named, THEN.isoformat())
        assert f"pallets as of  {shown}" in drafted.stdout, drafted.stderr
        assert shown in gateway.run("incident", "1").stdout
        assert f"what its pallets held at {shown}." in gateway.run("submit", "1").stdout
        refused = gateway.run(*named, "2126-12-22T02:00+01:00")
    assert refused.returncode == 1
    assert "no pallet has held anything yet" in refused.stderr
