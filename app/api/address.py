"""Where a request comes from: the address of the connection, or what a trusted proxy says of it.

`X-Forwarded-For` is read from its end, over the proxies that are trusted: what stands before the first that is not was
written by the client, who may write anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from app.api.problems import AnyRequest
from app.core.config import Network

Address = IPv4Address | IPv6Address
HEADER = "x-forwarded-for"


def client(request: AnyRequest) -> Address | None:
    """The client's address; None where it cannot be known."""
    proxies: Sequence[Network] = request.app.state.proxies
    near = peer(request)
    if near is None or not among(near, proxies):
        return near
    said = ",".join(request.headers.getall(HEADER, [])).split(",")
    for text in reversed(said):
        near = _read(text.strip())
        if near is None or not among(near, proxies):
            return near
    return near


def source(request: AnyRequest) -> str:
    """The client's address; of IPv6 its network of 64 bits, of which everybody has all addresses."""
    found = client(request)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, 64), strict=False))
    return str(found or "unknown")


def vicinity(request: AnyRequest) -> str:
    """The network that the client is in, which is as much as is kept of his address."""
    found = client(request)
    if found is None:
        return "unknown"
    return str(ip_network((found, 24 if isinstance(found, IPv4Address) else 48), strict=False))


def peer(request: AnyRequest) -> Address | None:
    """Who is at the other end of the connection."""
    return _read(request.client.host) if request.client else None


def among(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _read(text: str) -> Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    # As an IPv4 client is seen through a socket of both.
    return getattr(found, "ipv4_mapped", None) or found
