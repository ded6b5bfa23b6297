"""The keys that secrets at rest are sealed with (AES-256-GCM): the first seals, each opens what it has sealed.

A sealed value opens only at the place that it was sealed for, so that none can be moved to another row. Never
logs, shows or stores a key; a key is known by its number, the beginning of its hash.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.core import private
from app.core.config import Settings
from app.core.errors import Invalid, Unavailable

PREFIX = "imei_s_"
SETTING, FILE_SETTING = "IMEI_GATEWAY_SECRETS_KEY", "IMEI_GATEWAY_SECRETS_KEY_FILE"

_SIZE, _NONCE = 32, 12
# Of 32 random bytes fewer are different once in 10^30 keys.
_LEAST_DIFFERENT = 16
_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
_WANTED = f"set {SETTING} or {FILE_SETTING} ('imei-gateway secrets new-key' makes a key)"


class Locked(Unavailable):
    """Secrets cannot be sealed or opened with the keys that there are. Waiting does not help; a key does."""

    title = "Secrets are locked"
    wait = 0


class Keyring:
    """The keys of this process. Without any it seals and opens nothing, and says which setting is missing."""

    def __init__(
        self, keys: Sequence[bytes], random: Callable[[int], bytes], file: Path | None = None
    ) -> None:
        """`file` is where the keys came from, if anywhere."""
        self._keys = {_number(key): AESGCM(key) for key in keys}
        self._random = random
        self._file = file

    @property
    def first(self) -> str:
        """The number of the key that seals. Raises Locked where there is none."""
        for number in self._keys:
            return number
        raise Locked(f"There is no key to seal partners' secrets with: {_WANTED}.", "secrets-key-missing")

    def seal(self, value: bytes, place: str) -> str:
        """The value, sealed for this place: the key's number, a nonce and the ciphertext. Raises Locked."""
        number, nonce = self.first, self._random(_NONCE)
        sealed = nonce + self._keys[number].encrypt(nonce, value, place.encode())
        return f"{number}.{_text(sealed)}"

    def open(self, sealed: str, place: str) -> bytes:
        """What was sealed for this place. Raises Locked: its key is not here, or it was sealed for elsewhere."""
        number, _, text = sealed.partition(".")
        if number not in self._keys:
            raise self._missing(number, place)
        try:
            held = base64.urlsafe_b64decode(text + "==")
            return self._keys[number].decrypt(held[:_NONCE], held[_NONCE:], place.encode())
        except (InvalidTag, ValueError):
            raise Locked(
                f"The secret at {place} cannot be opened: it was changed, or sealed for another place. Set it"
                " anew.",
                "secret-changed",
            ) from None

    def resealed(self, sealed: str, place: str) -> str:
        """The same, sealed with the key that seals now. Raises Locked."""
        return sealed if self.is_first(sealed) else self.seal(self.open(sealed, place), place)

    def is_first(self, sealed: str) -> bool:
        """Whether the key that seals now has sealed this."""
        return sealed.partition(".")[0] == self.first

    def _missing(self, number: str, place: str) -> Locked:
        if self._file and number in _numbers_in(self._file):
            return Locked(
                f"The secret at {place} is sealed with the key {number}, which {self._file} holds by now; restart this"
                " process, which has read the file before.",
                "secrets-key-unread",
            )
        held = ", ".join(self._keys)
        why = f"and the keys here are {held}" if held else "and there is no key here"
        return Locked(
            f"The secret at {place} is sealed with the key {number}, {why}: set {SETTING} or {FILE_SETTING} to"
            " that key, or set the secret anew.",
            "secrets-key-missing",
        )


def load(settings: Settings, random: Callable[[int], bytes]) -> Keyring:
    """The keys that the settings name; `random` gives as many random bytes as it is asked for. Raises Invalid."""
    if not settings.secrets_key_file:
        return Keyring(_keys(settings.secrets_key, SETTING), random)
    if settings.secrets_key:
        raise Invalid(f"{SETTING} and {FILE_SETTING} are both set; it would be one of them.")
    file = Path(settings.secrets_key_file)
    return Keyring(_keys(_read(file), FILE_SETTING), random, file)


def new_key(random: Callable[[int], bytes]) -> str:
    """A fresh key, as the settings take it."""
    return PREFIX + _text(random(_SIZE))


def _keys(text: str, name: str) -> list[bytes]:
    return [_key(word, name) for word in re.split(r"[\s,]+", text.strip()) if word]


def _numbers_in(file: Path) -> set[str]:
    """The keys that the file holds now; none where it cannot be read."""
    try:
        return {_number(key) for key in _keys(_read(file), FILE_SETTING)}
    except Invalid:
        return set()


def _read(path: Path) -> str:
    text = private.read(path, FILE_SETTING)
    if not text.strip():
        raise Invalid(f"{FILE_SETTING} is {path}, which holds no key; {_WANTED}.")
    return text


def _key(word: str, name: str) -> bytes:
    try:
        if _FORM.fullmatch(word):
            found = base64.urlsafe_b64decode(word.removeprefix(PREFIX) + "=")
            return _unlike_examples(found, name)
    except binascii.Error:
        pass
    # The word itself may be a key with a typing error in it, so it is not repeated.
    raise Invalid(
        f"{name} holds what is no key; it would be {PREFIX} and 43 characters, as 'imei-gateway secrets new-key'"
        " prints it, or several of them with a comma or a line break between them."
    )


def _unlike_examples(key: bytes, name: str) -> bytes:
    """A key as chance makes them: one of a page or a keyboard has few different bytes."""
    if len(set(key)) < _LEAST_DIFFERENT:
        raise Invalid(
            f"{name} holds a key that anybody could guess; 'imei-gateway secrets new-key' makes one.",
            "key-guessable",
        )
    return key


def _number(key: bytes) -> str:
    return "s" + hashlib.sha256(b"imei-gateway secrets key\n" + key).hexdigest()[:8]


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
