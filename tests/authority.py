"""A certificate authority to throw away: it issues whatever a test asks for."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Pair(NamedTuple):
    """A certificate and its private key, in PEM."""

    certificate: str
    private_key: str


class Authority:
    """Vouches for anybody; `pem` is its own certificate."""

    def __init__(self, name: str = "Authority of the tests") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        builder = _builder(self._name, self._name, self._key.public_key(), -1, 30)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs=True), critical=True)
        self.pem = _pem(builder.sign(self._key, hashes.SHA256()))

    def issue(
        self, host: str = "localhost", *, since: float = -1, until: float = 1, own: bool = False
    ) -> Pair:
        """A pair for a host, valid between two numbers of days from now; `own`: signed by itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(host)
        builder = _builder(subject, subject if own else self._name, key.public_key(), since, until)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return Pair(_pem(builder.sign(key if own else self._key, hashes.SHA256())), _key_pem(key))


def server(pair: Pair, folder: Path, *, clients: str = "") -> ssl.SSLContext:
    """How a server with this pair speaks TLS; it demands a certificate that the authority `clients` has issued."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    show(context, pair, folder)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients)
    return context


def show(context: ssl.SSLContext, pair: Pair, folder: Path) -> None:
    """Makes a server show this pair from its next connection on."""
    path = folder / "server.pem"
    path.write_text(pair.certificate + pair.private_key)
    context.load_cert_chain(path)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, since: float, until: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
        .not_valid_before(now + timedelta(days=since))
        .not_valid_after(now + timedelta(days=until))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
