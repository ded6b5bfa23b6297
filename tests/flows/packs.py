"""Evidence packs at the command line."""

from __future__ import annotations

from pathlib import Path

from .command import Gateway


def assert_there_is_evidence(gateway: Gateway, number: str, pack: Path) -> None:
    """A pack of this incident is made, checked, and found out when somebody has changed it."""
    made = gateway.run("evidence", "make", number, "--for", "insurer", "-o", str(pack))
    assert (made.returncode, "SHA-256" in made.stdout) == (0, True), made.stderr
    key = gateway.run("audit", "key").stdout.strip()
    assert gateway.run("evidence", "verify", str(pack), "--key", key).returncode == 0
    assert gateway.run("evidence", "verify", str(pack)).returncode == 3
    pack.write_bytes(pack.read_bytes().replace(b"devices", b"Devices"))
    assert gateway.run("evidence", "verify", str(pack), "--key", key).returncode == 5
