"""How TLS is spoken with one partner: who may vouch for it, and the certificate by which it knows us.

The same for every adapter that speaks HTTP. What is saved has been tried: OpenSSL has taken it once.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Annotated, Any, cast

import certifi
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from app.adapters import settings as forms
from app.adapters.settings import Secret
from app.core.errors import Flaw, GatewayError, Invalid, told


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """TLS with one partner, in PEM; what is empty is not set. `ca` stands in place of the public authorities."""

    ca: Annotated[
        str, msgspec.Meta(max_length=200_000, description="certificates of the authorities that vouch for it")
    ] = ""
    certificate: Annotated[
        str,
        msgspec.Meta(
            max_length=50_000, description="our certificate for it, and what leads up to its authority"
        ),
    ] = ""
    private_key: Annotated[Secret, msgspec.Meta(description="its private key, without a passphrase")] = ""


class TlsChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to change of it; what is left out stays, and what is empty is taken away."""

    ca: str | msgspec.UnsetType = msgspec.UNSET
    certificate: str | msgspec.UnsetType = msgspec.UNSET
    private_key: str | msgspec.UnsetType = msgspec.UNSET


class Unusable(GatewayError):
    """TLS settings that were right when they were saved, and that OpenSSL does not take any more."""

    title = "TLS cannot be spoken"


def checked(given: Mapping[str, Any], now: datetime) -> Tls:
    """The settings in their form. Raises Invalid with a flaw for each that cannot be used at `now`."""
    made = cast("Tls", forms.checked(Tls, given))
    flaws = (*_ca_flaws(made), *_pair_flaws(made, now)) or _openssl_flaws(made)
    if flaws:
        raise Invalid(told(flaws, "{} of the TLS settings are wrong."), "tls-wrong", flaws)
    return made


def _openssl_flaws(made: Tls) -> tuple[Flaw, ...]:
    try:
        context(made)
    except Unusable as error:
        place = "/certificate" if made.certificate else "/ca"
        return (Flaw(f"OpenSSL does not take it: {error.detail}.", place, "tls-wrong"),)
    return ()


def _ca_flaws(made: Tls) -> Iterator[Flaw]:
    if made.ca and not _certificates(made.ca):
        yield Flaw(_not_pem("ca", "certificates"), "/ca", "tls-wrong")


def _pair_flaws(made: Tls, now: datetime) -> Iterator[Flaw]:
    if bool(made.certificate) != bool(made.private_key):
        missing = "private_key" if made.certificate else "certificate"
        yield Flaw(
            "A certificate and its private key are set together; one is missing.", f"/{missing}", "tls-wrong"
        )
        return
    if not made.certificate:
        return
    chain, key = _certificates(made.certificate), _private_key(made.private_key)
    if not chain:
        yield Flaw(_not_pem("certificate", "a certificate"), "/certificate", "tls-wrong")
    else:
        yield from _time_flaws(chain[0], now)
    if key is None:
        yield Flaw(_not_pem("private_key", "a private key without a passphrase"), "/private_key", "tls-wrong")
    elif chain and _public(chain[0]) != _public(key):
        yield Flaw("The private key is not that of the (first) certificate.", "/private_key", "tls-wrong")


def _time_flaws(certificate: x509.Certificate, now: datetime) -> Iterator[Flaw]:
    since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > until:
        yield Flaw(
            f"The certificate has expired at {until:%Y-%m-%d %H:%M} UTC.", "/certificate", "tls-expired"
        )
    if now < since:
        yield Flaw(
            f"The certificate is valid from {since:%Y-%m-%d %H:%M} UTC on.", "/certificate", "tls-wrong"
        )


def _not_pem(name: str, wanted: str) -> str:
    return f"Setting '{name}' cannot be read; it would be {wanted} in PEM (-----BEGIN …)."


def _certificates(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return []


def _private_key(pem: str) -> PrivateKeyTypes | None:
    try:
        return serialization.load_pem_private_key(pem.encode(), None)
    # A passphrase that is asked for is a TypeError; a kind that nobody supports has an exception of its own.
    except Exception:
        return None


def _public(of: x509.Certificate | PrivateKeyTypes) -> bytes:
    return of.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def expires_at(pem: str) -> datetime | None:
    """When our certificate ends, the first of these; None where there is none."""
    chain = _certificates(pem)
    return chain[0].not_valid_after_utc if chain else None


def public(given: Mapping[str, Any]) -> dict[str, Any]:
    """TLS settings as people may see them: without the private key, and with the end of the certificate."""
    ends = expires_at(given.get("certificate", ""))
    return {**forms.public(Tls, given), **({"expires_at": ends} if ends else {})}


def prints(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """The SHA-256 of each certificate, for the audit log."""
    return {
        name: [one.fingerprint(hashes.SHA256()).hex() for one in _certificates(given[name])]
        for name in ("ca", "certificate")
        if given.get(name)
    }


def context(made: Tls) -> ssl.SSLContext:
    """How a wire speaks TLS: TLS 1.2 at least, the other side's certificate and host name checked. Raises Unusable."""
    if not made.ca and not made.certificate:
        return public_context()
    try:
        found = ssl.create_default_context(cadata=made.ca) if made.ca else _trusting_the_public()
        if made.certificate:
            with _path(made.certificate + "\n" + made.private_key) as path:
                found.load_cert_chain(path)
    except (ssl.SSLError, ValueError) as error:
        said = getattr(error, "reason", None) or "it cannot be read"
        raise Unusable(said.lower().replace("_", " ")) from None
    return found


@cache
def public_context() -> ssl.SSLContext:
    """TLS with whoever a public authority vouches for."""
    return _trusting_the_public()


def _trusting_the_public() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())


@contextmanager
def _path(text: str) -> Iterator[str]:
    """A path to a text for OpenSSL, which takes no other. On Linux it stands in memory alone."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("tls", os.MFD_CLOEXEC)
        with os.fdopen(fd, "w") as file:
            file.write(text)
            file.flush()
            yield f"/proc/self/fd/{fd}"
        return
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(text)
        file.flush()
        yield file.name
