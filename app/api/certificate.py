"""Client certificates, on the word of a proxy (RFC 9440): it ends TLS, and says with whom in the header Client-Cert. Of
anybody who is no trusted proxy the header is not looked at; a trusted one takes away what its clients send of it."""

from __future__ import annotations

import base64
import hashlib
import re

from app.api import address
from app.api.problems import AnyRequest
from app.core.config import Network
from app.core.errors import Invalid

HEADER = "client-cert"
# A byte sequence of RFC 8941.
_FORM = re.compile(r":([A-Za-z0-9+/]+={0,2}):")


def thumbprint(request: AnyRequest) -> bytes | None:
    """The SHA-256 of the client's certificate (RFC 8705's x5t#S256, not in base64); None where he has shown none."""
    said = request.headers.getall(HEADER, [])
    if not said or not _is_trusted(request):
        return None
    found = _FORM.fullmatch(", ".join(said).strip())
    try:
        return hashlib.sha256(base64.b64decode(found[1], validate=True)).digest() if found else _none()
    except ValueError:
        return _none()


def _none() -> bytes:
    raise Invalid(
        "The header Client-Cert cannot be read; it would be the DER of one certificate in base64 between colons.",
        "certificate-malformed",
    )


def _is_trusted(request: AnyRequest) -> bool:
    proxies: tuple[Network, ...] = request.app.state.proxies
    near = address.peer(request) if proxies else None
    return near is not None and address.among(near, proxies)
