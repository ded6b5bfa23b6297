"""Who calls: by the key or token that came with the request."""

from __future__ import annotations

from app.access import bearers
from app.access.bearers import Bearer, Doorman
from app.access.roles import Principal
from app.api import certificate
from app.api.problems import AnyRequest
from app.core.errors import Unauthorised


async def actor(request: AnyRequest) -> Principal:
    """Whose key or token it is. Raises Unauthorised."""
    doorman: Doorman = request.app.state.doorman
    return await bearers.known(doorman, bearer(request))


def bearer(request: AnyRequest) -> Bearer:
    """What is shown of who it is. Raises Unauthorised (`key-missing`, `key-twice`, `key-malformed`)."""
    shown = request.headers.getall("authorization", [])
    if len(shown) > 1:
        raise Unauthorised("Two keys came with the request; nobody can tell whose it is.", "key-twice")
    scheme, _, key = "".join(shown).partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Unauthorised(
            "No API key came with the request; it would be a header 'Authorization: Bearer imei_…'.",
            "key-missing",
        )
    return bearers.claim(key.strip(), certificate.thumbprint(request))
