"""Which addresses a partner may have: public ones, unless its row allows private ones.

Judged is always a numeric address, that of a socket: what a name means may change between two looks. The lists
are IANA's special-purpose registries (RFC 6890), spelt out because Python's own differ from release to release.
"""

from __future__ import annotations

import asyncio
import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_REFUSED_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
            "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
            # Public by its number, but a service of the host wherever Azure runs a machine.
            "168.63.129.16/32",
        ),
    )
)  # fmt: skip
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
# A public address in one of these forms is public, a private one private.
_HOLDS_V4 = tuple(map(IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96")))

WHY = "its address is not a public one, and allow_private is not set"


class NotReached(OSError):
    """An address that this partner may not have. Nothing was sent there."""

    def __init__(self) -> None:
        super().__init__(WHY)


@lru_cache(maxsize=4096)
def is_public(address: str) -> bool:
    """Whether a numeric address is one of the public internet; False for what is no numeric address."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        return _is_public_v6(found)
    return not any(found in network for network in _REFUSED_V4)


def _is_public_v6(found: IPv6Address) -> bool:
    if any(found in network for network in _HOLDS_V4):
        return is_public(str(IPv4Address(int(found) & 0xFFFF_FFFF)))
    return found in _GLOBAL_V6 and not any(found in network for network in _REFUSED_V6)


async def connected(host: str, port: int, allow_private: bool) -> socket.socket:
    """A socket that is connected to the first address of this name that answers. Raises OSError: NotReached where
    its addresses are none that this partner may have."""
    loop = asyncio.get_running_loop()
    fault: OSError = NotReached()
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not allow_private and not is_public(str(address[0])):
            continue
        held = socket.socket(family, kind, protocol)
        held.setblocking(False)
        try:
            await loop.sock_connect(held, address)
        except OSError as error:
            held.close()
            fault = error
        except BaseException:
            held.close()
            raise
        else:
            return held
    raise fault


def is_surely_private(host: str) -> bool:
    """Whether the host of an address can be told to be private without asking anybody: other names mean what the
    network says when they are called."""
    name = host.rstrip(".").lower()
    try:
        ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return not is_public(name)
