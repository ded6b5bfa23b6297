"""Who we are to Diameter peers, and which of them may speak with us: each is known by its Origin-Host, and asks with
an API key of ours. Read from the settings; whether a key is live is looked at when it asks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from app.core import imei
from app.core.config import Settings
from app.core.errors import Invalid

# A fully qualified domain name (RFC 6733 clause 4.3.1); some networks have an underscore in theirs.
_IDENTITY = re.compile(r"(?=.{1,255}\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})+\Z")
_KEY_ID = re.compile(r"k_[a-z2-7]{8}\Z")
_EXAMPLE = "epc.mnc001.mcc001.3gppnetwork.org"


class Identity(NamedTuple):
    """A Diameter identity and its realm; the number grows with every start, so that peers see one."""

    host: str
    realm: str
    state_id: int


class Peer(NamedTuple):
    """One that may connect, and the key it asks with."""

    host: str
    key_id: str


Peers = Mapping[str, Peer]


def identity(settings: Settings, state_id: int) -> Identity:
    """Who we are. Raises Invalid where the settings do not say it."""
    host = _identity("IMEI_GATEWAY_S13_ORIGIN_HOST", settings.s13_origin_host, f"eir.{_EXAMPLE}")
    realm = _identity("IMEI_GATEWAY_S13_ORIGIN_REALM", settings.s13_origin_realm, _EXAMPLE)
    return Identity(host, realm, state_id)


def _identity(name: str, value: str, example: str) -> str:
    if _IDENTITY.match(value):
        return value
    raise Invalid(f"{name} is '{imei.shown(value)}'; it would be a whole domain name, like {example}.")


def read(settings: Settings) -> Peers:
    """The peers by their Origin-Host in lower case. Raises Invalid, which names the one that is wrong."""
    found: dict[str, Peer] = {}
    for said in settings.s13_peers.replace(",", " ").split():
        host, _, key_id = said.partition("=")
        if not _IDENTITY.match(host):
            raise _wrong(f"'{imei.shown(host, 80)}' in it is no Origin-Host")
        # It may be a whole key, which is a secret.
        if not _KEY_ID.match(key_id):
            raise _wrong(f"what stands behind {host}= is not the id of a key")
        if host.lower() in found:
            raise _wrong(f"the peer {host} stands in it twice")
        found[host.lower()] = Peer(host.lower(), key_id)
    if not found:
        raise _wrong("it is empty, so nobody may ask")
    return found


def _wrong(what: str) -> Invalid:
    right = f"the Origin-Host of each peer and the id of its API key, like mme.{_EXAMPLE}=k_mfzwizlt"
    return Invalid(f"IMEI_GATEWAY_S13_PEERS cannot be used: {what}; it would be {right}.")
