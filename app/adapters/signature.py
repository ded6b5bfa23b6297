"""Standard Webhooks 1.0: symmetric signatures (`v1`, HMAC-SHA256) on messages that we send and receive.

What is signed is `id.timestamp.body`. While a secret is being replaced a message carries a signature of
each, and is good if one of them is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from app.adapters.settings import END, Secret
from app.core.errors import Unauthorised

TOLERANCE = timedelta(minutes=5)
LONGEST_ID = 255

# 24 to 64 bytes, as the standard asks.
_PATTERN = r"^(whsec_([A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/]{2}(==)?|[A-Za-z0-9+/]{3}=?)?)?" + END

SigningSecret = Annotated[
    Secret, msgspec.Meta(pattern=_PATTERN, description="whsec_ and the base64 of 24 to 64 bytes")
]


def keys(*secrets: str) -> tuple[bytes, ...]:
    """The keys in `whsec_` secrets; an empty secret holds none."""
    return tuple(base64.b64decode(secret.removeprefix("whsec_") + "==") for secret in secrets if secret)


def signed(keys: Sequence[bytes], message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers that a message needs."""
    timestamp = str(int(at.timestamp()))
    signatures = " ".join("v1," + _mac(key, message_id, timestamp, body) for key in keys)
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signatures}


def misfit(headers: Mapping[str, str], now: datetime) -> str:
    """What keeps a message with such headers from being signed by anybody; nothing if it may be."""
    number, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not number or len(number) > LONGEST_ID:
        return f"its webhook-id has more than {LONGEST_ID} characters" if number else "it has no webhook-id"
    if not timestamp:
        return "it has no webhook-timestamp"
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return "its webhook-timestamp is no number of seconds since 1970"
    ahead = int(timestamp) - now.timestamp()
    if abs(ahead) > TOLERANCE.total_seconds():
        where = "ahead of our clock" if ahead > 0 else "in the past"
        return (
            f"its webhook-timestamp lies {abs(ahead):,.0f} s {where}; at most {TOLERANCE.seconds} s are taken"
        )
    has_one = "v1," in headers.get("webhook-signature", "")
    return "" if has_one else "it has no webhook-signature that begins with v1,"


def announced(keys: Sequence[bytes], headers: Mapping[str, str], now: datetime) -> None:
    """Nothing, if a message with such headers may be signed by one of the keys, and is fresh. Raises Unauthorised."""
    if wrong := misfit(headers, now):
        raise Unauthorised(f"The message is not signed: {wrong}.")
    if not keys:
        raise Unauthorised("There is no secret by which the message could be signed.")


def verify(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Nothing, if the message is signed by one of the keys and fresh. Raises Unauthorised."""
    announced(keys, headers, now)
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    given = [text.encode("utf-8", "replace") for text in headers.get("webhook-signature", "").split(" ")]
    wanted = [f"v1,{_mac(key, message_id, timestamp, body)}".encode() for key in keys]
    if not any(hmac.compare_digest(want, text) for want in wanted for text in given):
        raise Unauthorised("The webhook-signature is not one that we know.")


def _mac(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    content = f"{message_id}.{timestamp}.".encode("utf-8", "replace") + body
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
