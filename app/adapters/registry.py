"""Which adapters there are: ours and those of installed packages, by the same entry-point group.

A package adds a partner protocol by naming its class in the group `imei_gateway.adapters`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, cast

from app.adapters import settings as forms
from app.adapters.contract import Adapter
from app.core.errors import GatewayError, Invalid, Unavailable
from app.core.imei import shown

GROUP = "imei_gateway.adapters"

_PARTS = ("kind", "title", "settings", "kinds", "enrols", "batch_size", "send")


class Installed(NamedTuple):
    """One kind: its class, or what is wrong with it, and the package that brings it."""

    adapter: type[Adapter] | None
    wrong: str
    package: str


def adapters() -> dict[str, type[Adapter]]:
    """The adapter classes that can be used, by kind. What is wrong with another one is nobody else's trouble."""
    return {kind: found.adapter for kind, found in _installed().items() if found.adapter}


def broken() -> dict[str, str]:
    """What is wrong with each installed kind that cannot be used."""
    return {kind: found.wrong for kind, found in _installed().items() if found.wrong}


@cache
def _installed() -> dict[str, Installed]:
    found: dict[str, Installed] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        kind, one = _load(point)
        before = found.setdefault(kind, one)
        if before.adapter is not one.adapter:
            both = f"{before.package} and {one.package}"
            wrong = f"Two packages bring the adapter '{kind}': {both}. Remove one of them."
            found[kind] = Installed(None, wrong, both)
    return found


def adapter(kind: str) -> type[Adapter]:
    """The class of one kind. Raises Invalid with the kinds that there are; Unavailable says what is wrong with it."""
    known = adapters()
    if kind in known:
        return known[kind]
    if kind in broken():
        raise Unavailable(broken()[kind], "adapter-broken")
    raise Invalid(
        f"There is no adapter '{shown(kind)}'; there are {', '.join(sorted(known))}. A running gateway knows"
        " those that were installed when it was started: restart it after another.",
        "adapter-unknown",
    )


def origin(kind: str) -> str:
    """The package that brings a kind, and its version; nothing where it is not installed."""
    found = _installed().get(kind)
    return found.package if found else ""


def make(kind: str, settings: Mapping[str, Any]) -> Adapter:
    """An adapter for one partner row. Raises Invalid: the kind is unknown, a flaw per wrong setting, or settings of
    which the adapter cannot be made; Unavailable where what it makes is no adapter."""
    found = adapter(kind)
    try:
        made = found(forms.checked(found.settings, settings))
        size = made.batch_size
    except GatewayError:
        raise
    except Exception as error:
        # Its words may hold a secret; without them it is told, and logged, nowhere.
        raise Invalid(
            f"The adapter '{kind}' of {origin(kind)} cannot be made of these settings: {type(error).__name__}.",
            "settings-invalid",
        ) from None
    if not isinstance(size, int) or size < 1:
        raise Unavailable(
            f"The adapter '{kind}' would tell {shown(repr(size))} orders a call.", "adapter-broken"
        )
    return made


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


def _load(point: EntryPoint) -> tuple[str, Installed]:
    """The kind that it brings, by its own word or the entry point's."""
    owner = _owner(point)
    named = f"The adapter '{point.name}' of {owner}"
    try:
        loaded = point.load()
    except Exception as error:
        return point.name, Installed(None, f"{named} cannot be loaded: {shown(repr(error), 200)}.", owner)
    missing = [part for part in _PARTS if not hasattr(loaded, part)]
    if missing:
        return point.name, Installed(None, f"{named} has no {', '.join(missing)}.", owner)
    return str(loaded.kind), Installed(cast("type[Adapter]", loaded), "", owner)


def _owner(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
