"""Which adapters there are: ours and those of installed packages, by the same entry-point group.

A package adds a partner protocol by naming its class in the group `imei_gateway.adapters`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from app.adapters import settings as forms
from app.adapters.contract import Adapter
from app.core.errors import Conflict, Invalid, Unavailable
from app.core.imei import shown

GROUP = "imei_gateway.adapters"

_PARTS = ("kind", "title", "settings", "kinds", "enrols", "batch_size", "send")


@cache
def adapters() -> dict[str, type[Adapter]]:
    """Adapter classes by kind. Raises Conflict where two packages claim one kind."""
    found: dict[str, type[Adapter]] = {}
    owners: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        loaded = _load(point)
        if found.setdefault(loaded.kind, loaded) is not loaded:
            raise Conflict(
                f"Two packages bring the adapter kind '{loaded.kind}': {owners[loaded.kind]} and "
                f"{_owner(point)}. Remove one of them.",
                "adapter-kind-twice",
            )
        owners[loaded.kind] = _owner(point)
    return found


def adapter(kind: str) -> type[Adapter]:
    """The class of one kind. Raises Invalid with the kinds that there are."""
    known = adapters()
    if kind not in known:
        raise Invalid(
            f"There is no adapter '{shown(kind)}'; there are {', '.join(sorted(known))}. A running gateway knows"
            " those that were installed when it was started: restart it after another.",
            "adapter-unknown",
        )
    return known[kind]


def origin(kind: str) -> str:
    """The package that brings a kind, and its version; nothing where it is not installed."""
    found = adapters().get(kind)
    return next((_owner(point) for point in entry_points(group=GROUP) if point.load() is found), "")


def make(kind: str, settings: Mapping[str, Any]) -> Adapter:
    """An adapter for one partner row. Raises Invalid: the kind is unknown, or a flaw per wrong setting."""
    found = adapter(kind)
    return found(forms.checked(found.settings, settings))


def public_settings(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with every secret masked; all of them where the kind's package is gone."""
    found = adapters().get(kind)
    if found is None:
        return dict.fromkeys(settings, forms.MASK)
    return forms.public(found.settings, settings)


def secret_names(kind: str) -> frozenset[str]:
    """The settings of a kind that hold a secret; none are known where the kind's package is gone."""
    found = adapters().get(kind)
    return forms.secret_names(found.settings) if found else frozenset()


def secrets(kind: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The secret values among right settings. Raises Invalid."""
    return forms.secrets(forms.checked(adapter(kind).settings, settings))


def hosts(kind: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """The host of each address among the settings, by the setting's name; none of a kind that is not installed."""
    found = adapters().get(kind)
    return forms.hosts(found.settings, settings) if found else {}


def _load(point: EntryPoint) -> type[Adapter]:
    try:
        loaded = point.load()
    except Exception as error:
        raise Unavailable(
            f"The adapter '{point.name}' of {_owner(point)} cannot be loaded: {error}", "adapter-broken"
        ) from error
    missing = [part for part in _PARTS if not hasattr(loaded, part)]
    if missing:
        raise Unavailable(
            f"The adapter '{point.name}' of {_owner(point)} has no {', '.join(missing)}.", "adapter-broken"
        )
    return cast("type[Adapter]", loaded)


def _owner(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
