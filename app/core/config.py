"""Settings: flags first, then `IMEI_GATEWAY_*`, then what a fresh machine needs. See deploy/SETTINGS.md."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import msgspec

from app.core.errors import Invalid

Network = IPv4Network | IPv6Network
ROOT_STATE = Path("/var/lib/imei-gateway")


class Settings(msgspec.Struct, frozen=True):
    """Everything that can be set. Sizes are bytes, times are in the unit of their name."""

    data_dir: Path
    database_url: str = ""
    host: str = "127.0.0.1"
    port: int = 8470
    max_upload: int = 1024 * 1024 * 1024
    max_body: int = 64 * 1024 * 1024
    unknown_equipment: str = "404"
    idempotency_hours: int = 24
    feed_days: int = 90
    sighting_days: int = 400
    sold_days: int = 0
    unusual_devices: int = 1000
    unusual_times: int = 5
    unusual_share: int = 50
    workers: int = 2
    worker_slots: int = 64
    park_after_days: int = 14
    log_level: str = "info"
    public_url: str = ""
    files_root: str = ""
    epcis_capture_limit: int = 10_000
    epcis_file_size_limit: int = 64 * 1024 * 1024
    device_check_by: str = ""
    device_check_country: str = ""
    device_check_fraud_codes: str = ""
    quota: int = 600_000
    token_seconds: int = 3600
    trusted_proxies: str = ""
    step_up_minutes: int = 5
    review_hours: int = 24
    undo_minutes: int = 60
    session_hours: int = 12
    idle_minutes: int = 30
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = ""
    oidc_client_secret_file: str = ""
    oidc_second_factor: str = ""
    secrets_key: str = ""
    secrets_key_file: str = ""
    audit_key: str = ""
    audit_key_file: str = ""
    witnesses: str = ""
    s13_host: str = "127.0.0.1"
    s13_port: int = 3868
    s13_origin_host: str = ""
    s13_origin_realm: str = ""
    s13_peers: str = ""


def load(
    environ: Mapping[str, str] = os.environ, *, data_dir: str | None = None, database_url: str | None = None
) -> Settings:
    """The settings in force. Raises Invalid naming the variable that is wrong."""
    values: dict[str, str] = {}
    for field in msgspec.structs.fields(Settings):
        name = f"IMEI_GATEWAY_{field.name.upper()}"
        if environ.get(name):
            values[field.name] = environ[name]
    values.setdefault("database_url", environ.get("DATABASE_URL", ""))
    if data_dir:
        values["data_dir"] = data_dir
    if database_url is not None:
        values["database_url"] = database_url
    values["data_dir"] = str(
        Path(values.get("data_dir") or default_data_dir(environ)).expanduser().absolute()
    )
    try:
        settings = msgspec.convert(values, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise Invalid(f"A setting is wrong: {error} (its variable is IMEI_GATEWAY_ and the name).") from None
    return _checked(settings)


def _path(kind: type, value: str) -> Path:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)


def _checked(settings: Settings) -> Settings:
    allowed: dict[str, Sequence[Any]] = {
        "port": range(65536),
        "s13_port": range(65536),
        "workers": range(1, 65),
        "worker_slots": range(1, 1025),
        "park_after_days": range(14, 3651),
        "epcis_capture_limit": range(1, 100_001),
        "epcis_file_size_limit": range(1, 2**30 + 1),
        "idempotency_hours": range(1, 721),
        "feed_days": range(7, 3651),
        "sighting_days": range(30, 3651),
        "sold_days": range(36_501),
        "unusual_devices": range(1, 10**9 + 1),
        "unusual_times": range(1, 1001),
        "unusual_share": range(1, 101),
        "quota": range(10**9 + 1),
        "token_seconds": range(60, 86_401),
        "review_hours": range(169),
        "undo_minutes": range(1441),
        "step_up_minutes": range(1, 61),
        "session_hours": range(1, 169),
        "idle_minutes": range(5, 1441),
        "log_level": ("debug", "info", "warning", "error"),
        "unknown_equipment": ("404", "WHITELISTED", "GREYLISTED", "BLACKLISTED"),
    }
    if settings.files_root and not Path(settings.files_root).is_absolute():
        raise Invalid(f"IMEI_GATEWAY_FILES_ROOT is '{settings.files_root}'; it would be a path from the /.")
    for name, values in allowed.items():
        value = getattr(settings, name)
        if value not in values:
            right = (
                f"{values[0]} to {values[-1]}" if isinstance(values, range) else ", ".join(map(str, values))
            )
            raise Invalid(f"IMEI_GATEWAY_{name.upper()} is '{value}'; it would be one of: {right}.")
    networks(settings)
    _check_device_check(settings)
    return settings


def _check_device_check(settings: Settings) -> None:
    for name in ("device_check_by", "device_check_country"):
        value = getattr(settings, name)
        if len(value) > 100 or not value.isprintable():
            raise Invalid(f"IMEI_GATEWAY_{name.upper()} would be at most 100 printable characters.")
    if not re.fullmatch("(?:[0-9]{4},[0-9]{4})?", settings.device_check_fraud_codes):
        raise Invalid(
            f"IMEI_GATEWAY_DEVICE_CHECK_FRAUD_CODES is '{settings.device_check_fraud_codes}'; it would be two codes"
            " of four digits, for a block and for its end, with a comma between: 1234,1235."
        )


def networks(settings: Settings) -> tuple[Network, ...]:
    """The addresses of proxies whose word is taken for what they say of a client. Raises Invalid."""
    found = []
    for text in re.split(r"[\s,]+", settings.trusted_proxies.strip(" ,")):
        try:
            found += [ip_network(text)] if text else []
        except ValueError as error:
            raise Invalid(
                f"IMEI_GATEWAY_TRUSTED_PROXIES holds '{text}' ({error}); it would be addresses or networks with"
                " commas between, such as 10.0.0.7, 10.1.0.0/16."
            ) from None
    return tuple(found)


def default_data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's state directory (XDG); for root, whose home others cannot enter, /var/lib/imei-gateway."""
    if hasattr(os, "geteuid") and os.geteuid() == 0 and not environ.get("XDG_STATE_HOME"):
        return ROOT_STATE
    state = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "imei-gateway"
