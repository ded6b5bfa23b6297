"""Who calls: by the key, the token or the session that came with the request."""

from __future__ import annotations

from ipaddress import ip_network

from app.access import bearers
from app.access.bearers import Bearer, Doorman
from app.access.roles import Principal
from app.api import address, certificate, cookies
from app.api.problems import AnyRequest
from app.core.errors import Forbidden, Unauthorised


async def actor(request: AnyRequest) -> Principal:
    """Whose key, token or session it is. Raises Unauthorised, Forbidden (`address-refused`)."""
    doorman: Doorman = request.app.state.doorman
    return at_home(request, await bearers.known(doorman, bearer(request)))


def at_home(request: AnyRequest, found: Principal) -> Principal:
    """The same, who came from where his key may be used. Raises Forbidden (`address-refused`)."""
    if found.networks is not None:
        near = address.client(request)
        if near is None or not address.among(near, [ip_network(one) for one in found.networks]):
            came = f"this request came from {near or 'nobody knows where'}"
            raise Forbidden(f"This key is good from some networks alone, and {came}.", "address-refused")
    return found


def bearer(request: AnyRequest) -> Bearer:
    """What is shown of who it is. Raises Unauthorised (`key-missing`, `key-twice`, `key-malformed`,
    `key-and-session`), and Forbidden for a change by a session that did not come from a page of ours."""
    shown = request.headers.getall("authorization", [])
    if len(shown) > 1:
        raise Unauthorised("Two keys came with the request; nobody can tell whose it is.", "key-twice")
    if shown and cookies.token(request, cookies.SESSION):
        raise Unauthorised(
            "A key and a session came with the request; nobody can tell whose it is.", "key-and-session"
        )
    if not shown and (worn := cookies.worn(request)):
        return worn
    scheme, _, key = "".join(shown).partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Unauthorised(
            "No API key came with the request; it would be a header 'Authorization: Bearer imei_…'.",
            "key-missing",
        )
    return bearers.claim(key.strip(), certificate.thumbprint(request))
