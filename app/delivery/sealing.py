"""Partners' secrets at rest: sealed when they are stored, opened for the adapter that uses them.

A secret is bound to its partner and its name. What was stored before there were keys is open, is used as it is,
and is sealed by `reseal`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from app.adapters import registry
from app.adapters import settings as forms
from app.adapters.settings import SEALED, is_sealed
from app.core.keyring import Keyring, Locked
from app.delivery.tls import Tls

SETTINGS, TLS = "settings", "tls"


class Safe(msgspec.Struct, frozen=True):
    """Where one partner's settings of one kind (`settings` or `tls`) are sealed and opened."""

    keyring: Keyring
    partner_id: int
    kind: str
    secret_names: frozenset[str]

    def opened(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The settings as an adapter uses them. Raises Locked."""
        return {name: self._open(name, value) for name, value in stored.items()}

    def joined(self, stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """The settings as an adapter would use them with what is given in its place. Raises Locked."""
        return {
            **self.opened({name: value for name, value in stored.items() if name not in given}),
            **given,
        }

    def sealed(self, given: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
        """What is given, as it is to be stored; a secret that is the same as the stored one stays as it is.
        Raises Locked."""
        return {name: self._kept(name, value, stored.get(name)) for name, value in given.items()}

    def resealed(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The same settings with every secret sealed by the first key. Raises Locked."""
        return {
            name: self._seal(name, self._open(name, value)) if self._is_stale(name, value) else value
            for name, value in stored.items()
        }

    def _place(self, name: str) -> str:
        return f"partner {self.partner_id}, {self.kind}/{name}"

    def _open(self, name: str, value: Any) -> Any:
        if not is_sealed(value):
            return value
        return msgspec.json.decode(self.keyring.open(value[SEALED], self._place(name)))

    def _kept(self, name: str, value: Any, stored: Any) -> Any:
        if name not in self.secret_names or not value:
            return value
        try:
            same = is_sealed(stored) and self._open(name, stored) == value
        except Locked:
            same = False
        return stored if same else self._seal(name, value)

    def _seal(self, name: str, value: Any) -> dict[str, str]:
        return {SEALED: self.keyring.seal(msgspec.json.encode(value), self._place(name))}

    def _is_stale(self, name: str, value: Any) -> bool:
        if is_sealed(value):
            return not self.keyring.is_first(value[SEALED])
        return bool(value) and name in self.secret_names


def safe(keyring: Keyring, partner_id: int, adapter: str) -> Safe:
    """For the settings of a partner's adapter."""
    return Safe(keyring, partner_id, SETTINGS, registry.secret_names(adapter))


def tls_safe(keyring: Keyring, partner_id: int) -> Safe:
    """For a partner's TLS settings."""
    return Safe(keyring, partner_id, TLS, forms.secret_names(Tls))
