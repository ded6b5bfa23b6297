"""What ends the power of a key, and what would be wrong about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from ipaddress import ip_network

import msgspec

from app.core.errors import Flaw
from app.core.imei import shown
from app.core.reach import Reach


class Ends(msgspec.Struct, frozen=True):
    """What ends a key's power: whose goods it reaches, from where it is good (CIDR), and when it ends by itself. None:
    all, anywhere, when it is revoked."""

    reach: Reach | None = None
    networks: tuple[str, ...] | None = None
    expires_at: datetime | None = None


NO_ENDS = Ends()


def end_flaws(ends: Ends, now: datetime) -> tuple[Flaw, ...]:
    reach = ends.reach or Reach()
    flaws = [
        Flaw("It would name at least one, each of 1 to 200 printable characters.", pointer, "key-reach")
        for pointer, names in (("/owners", reach.owners), ("/sites", reach.sites))
        if names is not None
        and not (names and all(0 < len(one) <= 200 and one.isprintable() for one in names))
    ]
    if ends.expires_at is not None and ends.expires_at <= now:
        flaws.append(Flaw("It would be a moment that is still to come.", "/expires_at", "key-over"))
    return (*flaws, *network_flaws(ends.networks))


def network_flaws(networks: Sequence[str] | None) -> tuple[Flaw, ...]:
    return tuple(
        Flaw(
            f"'{shown(one)}' is no network; one looks like 10.1.0.0/16 or 2001:db8::/32.",
            "/networks",
            "key-network",
        )
        for one in networks or ()
        if not _is_network(one)
    )


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True
