"""What adapters that speak by files share: where the files go, how they and their acknowledgements are called.

A file is named by its batch, so that a repeat is the same file; its name says what it orders, so that an
acknowledgement that names the file need not.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from app.adapters.contract import Batch, Op, Place
from app.adapters.settings import END, Line, Path, PlaceUrl, Secret, SecretLine, names_no_directory

MOST_ROWS = 10_000

Delimiter = Annotated[
    Literal[",", ";", "|", "\t"], msgspec.Meta(description="a comma, a semicolon, a bar or a tab")
]
FileName = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^[A-Za-z0-9_{{][A-Za-z0-9._{{}}-]*{END}",
        max_length=60,
        description="letters, digits and ._- around {op} and {key}, and {number}, which grows, where it helps",
    ),
]
Column = Annotated[int, msgspec.Meta(ge=1, le=100, description="the number of a column, the first is 1")]

_SLOT = re.compile(r"\{(\w*)\}")
_SLOTS = {"number": r"[0-9]+", "op": "(?P<op>block|release)", "key": r"[A-Za-z0-9_-]{1,40}"}


class DropSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where files are left for the partner, and how it acknowledges them."""

    url: Annotated[
        PlaceUrl,
        msgspec.Meta(
            description="where our files go: sftp://host:port/path (/~/path in the account's own directory), or"
            " file:///name below IMEI_GATEWAY_FILES_ROOT"
        ),
    ]
    user: Annotated[Line, msgspec.Meta(description="our name at the SFTP server")] = ""
    password: Annotated[SecretLine, msgspec.Meta(description="our password there, unless there is a key")] = (
        ""
    )
    private_key: Annotated[
        Secret, msgspec.Meta(description="our private key, with its BEGIN line and without a passphrase")
    ] = ""
    host_key: Annotated[
        str,
        msgspec.Meta(
            max_length=4000,
            description="the server's own key, a line of known_hosts without its hosts: ssh-ed25519 AAAA…",
        ),
    ] = ""
    acknowledged: Annotated[
        bool,
        msgspec.Meta(description="true where the partner answers each file with an acknowledgement file"),
    ] = False
    file_name: FileName = "{number}-{op}-{key}.csv"
    ack_path: Annotated[
        Path, msgspec.Meta(description="the path of the acknowledgements, if it is another one")
    ] = ""
    ack_name: Annotated[
        str,
        msgspec.Meta(
            pattern=rf"^[A-Za-z0-9._-]*\{{(file|stem)\}}[A-Za-z0-9._-]*{END}",
            max_length=60,
            description="how it is called, with {file}, the name of our file, or {stem}, that without its ending",
        ),
    ] = "{file}.ack"
    ack_delimiter: Delimiter = ","
    ack_identifier: Column = 1
    ack_result: Column = 2
    ack_words: Column = 3
    ack_results: Annotated[
        dict[Line, Literal["done", "already", "refused"]],
        msgspec.Meta(
            max_length=100,
            description="an object with done, already or refused for each result of the partner's",
        ),
    ] = msgspec.field(default_factory=lambda: {"done": "done", "already": "already", "refused": "refused"})
    put_away: Annotated[
        str,
        msgspec.Meta(
            pattern=rf"^[A-Za-z0-9_-]{{1,50}}{END}", description="the directory for those that we have booked"
        ),
    ] = "done"

    def __post_init__(self) -> None:
        if self.url.startswith("sftp:"):
            _check_account(self)
        if ".." in self.ack_path.split("/"):
            raise ValueError("ack_path would hold no '..'")
        if self.ack_path and self.url.startswith("file:") and names_no_directory(self.ack_path):
            raise ValueError("ack_path would name a directory below IMEI_GATEWAY_FILES_ROOT")
        Naming(self.file_name, self.ack_name)

    @property
    def orders_place(self) -> Place:
        return Place(self.url, self.user, self.password, self.private_key, self.host_key)

    @property
    def acks_place(self) -> Place:
        if not self.ack_path:
            return self.orders_place
        url = urlsplit(self.url)._replace(path=self.ack_path).geturl()
        return msgspec.structs.replace(self.orders_place, url=url)


def _check_account(settings: DropSettings) -> None:
    if not settings.user or not (settings.password or settings.private_key):
        raise ValueError("an SFTP server needs user, and password or private_key")
    try:
        serialization.load_ssh_public_key(settings.host_key.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(
            "an SFTP server needs host_key, its public key as known_hosts has it behind the hosts (ssh-keyscan"
            " shows it; compare it with what the partner says)"
        ) from None
    if settings.private_key and not _is_private_key(settings.private_key.encode()):
        raise ValueError("private_key would be a private key in PEM or OpenSSH form, without a passphrase")


def _is_private_key(key: bytes) -> bool:
    for load in (serialization.load_ssh_private_key, serialization.load_pem_private_key):
        try:
            load(key, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        return True
    return False


class Naming:
    """How our files and the acknowledgements of them are called. Raises ValueError where that tells too little."""

    def __init__(self, file_name: str, ack_name: str) -> None:
        if sorted(_SLOT.findall(file_name)) not in (["key", "op"], ["key", "number", "op"]):
            raise ValueError("file_name would hold {op} and {key} once each, and {number} at most once")
        if re.search("[{}]", _SLOT.sub("", file_name)):
            raise ValueError("file_name would hold { and } around op, key and number only")
        stem, dot, ending = file_name.rpartition(".")
        about, self._ending = (stem, dot + ending) if stem and "{stem}" in ack_name else (file_name, "")
        before, after = re.split(r"\{(?:file|stem)\}", ack_name)
        self._file_name = file_name
        self._ack = re.compile(f"{re.escape(before)}(?P<about>{_expression(about)}){re.escape(after)}")

    def name(self, batch: Batch) -> str:
        """The name of a batch's file: the same for every repeat, and for nothing else."""
        known = {"number": f"{batch.number:012d}", "op": batch.op.value, "key": safe_key(batch.key)}
        return _SLOT.sub(lambda slot: known[slot[1]], self._file_name)

    def acknowledged(self, name: str) -> tuple[str, Op] | None:
        """The file that an acknowledgement of that name is about, and what it orders; None for another file."""
        found = self._ack.fullmatch(name)
        return (found["about"] + self._ending, Op(found["op"])) if found else None


def _expression(pattern: str) -> str:
    """A pattern of names as a regular expression."""
    parts = _SLOT.split(pattern)
    return "".join(_SLOTS[part] if place % 2 else re.escape(part) for place, part in enumerate(parts))


def safe_key(key: str) -> str:
    """A batch's key as it can stand in a file's name."""
    fits = re.fullmatch("[A-Za-z0-9_-]{1,40}", key)
    return key if fits else hashlib.sha256(key.encode()).hexdigest()[:32]
