"""The second factor: codes of time (TOTP, RFC 6238: SHA-1, 6 digits, 30 s), and recovery codes for who has lost his
device. Owns no table: what was taken stands with the person."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import datetime

import pyotp

STEP = 30
LEEWAY = 1
"""Steps by which a clock may be wrong."""
RECOVERY_CODES = 10

_ISSUER = "IMEI gateway"
_CODE = re.compile(r"[0-9]{6}")
_NOT_OF_CODES = re.compile(r"[\s-]+")


def new_secret(random: Callable[[int], bytes]) -> str:
    """160 bits, in base32, as apps take it."""
    return base64.b32encode(random(20)).decode()


def uri(secret: str, email: str) -> str:
    """The otpauth:// address that is drawn as a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=_ISSUER)


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """The step of time whose code this is; None for a code of none that is near."""
    code = code.replace(" ", "")
    if not _CODE.fullmatch(code):
        return None
    totp, current = pyotp.TOTP(secret), int(now.timestamp()) // STEP
    near = [current + off for off in range(-LEEWAY, LEEWAY + 1)]
    fitting = [step for step in near if hmac.compare_digest(totp.at(step * STEP), code)]
    # The newest, so that no second one of the same digits is left to be taken.
    return max(fitting, default=None)


def recovery_codes(random: Callable[[int], bytes]) -> list[str]:
    """Ten codes of 80 bits, as they are shown once."""
    made = [base64.b32encode(random(10)).decode().lower() for _ in range(RECOVERY_CODES)]
    return ["-".join(code[at : at + 4] for at in range(0, 16, 4)) for code in made]


def digest(code: str) -> bytes:
    """What a recovery code is known by; blanks and hyphens say nothing."""
    return hashlib.sha256(_NOT_OF_CODES.sub("", code).lower().encode()).digest()
