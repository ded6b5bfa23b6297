"""Signed notes (C2SP signed-note): a text, and who has put his name under it. Pure: knows no table and no file.

Two kinds of signature are spoken, both Ed25519: a log's own over the text (type 1), and a witness's with its time (type
4, C2SP tlog-cosignature). Those of keys that a reader does not know are passed over, as the rule has it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from app.core.errors import Invalid

PRIVATE = "PRIVATE+KEY"
MOST_BYTES = 64 * 1024
_DASH = "\u2014"
_LINE = re.compile(rf"{_DASH} (\S+) ([A-Za-z0-9+/]+=*)")
# No spaces and no plus, which part the fields of a key.
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,200}")
_SIZE, _TIME = 32, 8


class Kind(IntEnum):
    """Types of signatures, as the specification numbers them."""

    NOTE = 1
    COSIGNATURE = 4


class Signature(NamedTuple):
    """One line below a note: whose it says it is, by name and number, and the bytes after the number."""

    name: str
    number: bytes
    value: bytes

    def line(self) -> str:
        return f"{_DASH} {self.name} {_text(self.number + self.value)}\n"


class Note(NamedTuple):
    """A text with its last line break, and what stands below it."""

    text: str
    signatures: tuple[Signature, ...]

    def written(self) -> str:
        return f"{self.text}\n{''.join(one.line() for one in self.signatures)}"


class Verifier(NamedTuple):
    """Somebody whose signature can be told from others: his name, kind of signature and public key of 32 bytes."""

    name: str
    kind: Kind
    public: bytes

    @property
    def number(self) -> bytes:
        return _number(self.name, self.kind, self.public)

    def written(self) -> str:
        """The key as others are told it: `<name>+<number>+<base64>`."""
        return f"{self.name}+{self.number.hex()}+{_text(bytes([self.kind]) + self.public)}"

    def at(self, signature: Signature) -> int | None:
        """The POSIX time that a cosignature was given at."""
        return int.from_bytes(signature.value[:_TIME], "big") if self.kind is Kind.COSIGNATURE else None

    def has_signed(self, text: str, signature: Signature) -> bool:
        """Whether a signature that bears this name and number is good."""
        value, said = signature.value, text
        if self.kind is Kind.COSIGNATURE:
            value, said = value[_TIME:], _cosigned(text, self.at(signature) or 0)
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(value, said.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer:
    """A private key and the name it signs with. Its repr shows no secret."""

    def __init__(self, name: str, kind: Kind, secret: bytes) -> None:
        """Raises Invalid for a name that no key can have, and ValueError unless the secret is 32 bytes."""
        _check_name(name)
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.verifier = Verifier(name, kind, self._key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"Signer({self.verifier.written()})"

    def sign(self, text: str, at: int = 0) -> Signature:
        """The signature under a text; one with a time is given `at` a POSIX time."""
        if self.verifier.kind is Kind.NOTE:
            value = self._key.sign(text.encode())
        else:
            value = at.to_bytes(_TIME, "big") + self._key.sign(_cosigned(text, at).encode())
        return Signature(self.verifier.name, self.verifier.number, value)

    def written(self) -> str:
        """The private key in one line, which `signer` reads: `PRIVATE+KEY+<name>+<number>+<base64>`."""
        mine = self.verifier
        return f"{PRIVATE}+{mine.name}+{mine.number.hex()}+{_text(bytes([mine.kind]) + self._key.private_bytes_raw())}"


def signer(line: str) -> Signer:
    """The private key of a line. Raises Invalid, and never repeats the line."""
    fields = line.strip().removeprefix(f"{PRIVATE}+").split("+", 2)
    try:
        name, number, key = fields
        kind, secret = _key(key)
        found = Signer(name, kind, secret)
    except (ValueError, Invalid):
        raise Invalid(
            f"That is no private key of a log or a witness; it would be a line '{PRIVATE}+<name>+<number>+<base64>',"
            " as 'imei-gateway audit new-key' prints it.",
            "signing-key-wrong",
        ) from None
    if found.verifier.number.hex() != number:
        raise Invalid(
            "The number in that private key is not its own: it was copied wrongly.", "signing-key-wrong"
        )
    return found


def verifier(line: str) -> Verifier:
    """The public key of a line, `<name>+<number>+<base64>`. Raises Invalid."""
    try:
        name, number, key = line.strip().split("+", 2)
        _check_name(name)
        found = Verifier(name, *_key(key))
    except (ValueError, Invalid):
        raise Invalid(
            f"'{line.strip()[:120]}' is no verifier key; it would be <name>+<number>+<base64>, such as"
            " example.com/log+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k.",
            "verifier-key-wrong",
        ) from None
    if found.number.hex() != number:
        raise Invalid(
            f"The number of the key '{name}' is not its own: it was copied wrongly.", "verifier-key-wrong"
        )
    return found


def read(written: str) -> Note:
    """The parts of a note; nothing of it is believed yet. Raises Invalid."""
    text, gap, below = written.rpartition("\n\n")
    lines = below.splitlines()
    found = [_LINE.fullmatch(line) for line in lines]
    if not gap or not below.endswith("\n") or not all(found) or not lines or len(written) > MOST_BYTES:
        raise Invalid(
            "That is no signed note: it would be a text, an empty line, and lines of signatures that begin with a"
            " dash.",
            "note-wrong",
        )
    return Note(text + "\n", tuple(_signature(*match.groups()) for match in found if match))


def opened(written: str, known: Iterable[Verifier]) -> tuple[Note, dict[Verifier, Signature]]:
    """A note and whose good signatures it bears, of those that are known. Raises Invalid where one of theirs is bad,
    or none is there."""
    note = read(written)
    by_name = {(one.name, one.number): one for one in known}
    good: dict[Verifier, Signature] = {}
    for signature in note.signatures:
        who = by_name.get((signature.name, signature.number))
        if who is not None and not who.has_signed(note.text, signature):
            raise Invalid(f"The signature of {who.name} under that note is false.", "signature-false")
        if who is not None:
            good[who] = signature
    if not good:
        names = ", ".join(sorted({one.name for one in note.signatures})) or "nobody"
        raise Invalid(
            f"Nobody who is known has signed that note; it is signed by {names}.", "signature-missing"
        )
    return note, good


def signed(text: str, signers: Sequence[Signer]) -> str:
    """The text with a signature of each."""
    return Note(text, tuple(one.sign(text) for one in signers)).written()


def _signature(name: str, value: str) -> Signature:
    try:
        held = base64.b64decode(value, validate=True)
    except binascii.Error:
        held = b""
    if len(held) <= 4:
        raise Invalid(f"The signature of {name} is no base64 of a number and a signature.", "note-wrong")
    return Signature(name, held[:4], held[4:])


def _cosigned(text: str, at: int) -> str:
    return f"cosignature/v1\ntime {at}\n{text}"


def _number(name: str, kind: Kind, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def _key(text: str) -> tuple[Kind, bytes]:
    """Raises ValueError."""
    held = base64.b64decode(text, validate=True)
    if len(held) != 1 + _SIZE:
        raise ValueError(len(held))
    return Kind(held[0]), held[1:]


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"'{name[:120]}' is no name of a log or a witness; it would be 1 to 200 characters with no space and no +,"
            " such as gateway.example.com/audit.",
            "signer-name-wrong",
        )


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
