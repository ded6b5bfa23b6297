"""What a partner row's settings may hold: typed, all flaws told at once, secrets never shown again.

An adapter's settings are a msgspec Struct whose fields use `Url`, `PlaceUrl` and `Secret`; the description of
a field says what would be right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec
from msgspec.structs import FieldInfo

from app.core.errors import Flaw, Invalid, told
from app.core.imei import shown
from app.core.misfit import sentence

MASK = "•••"
# A secret at rest is an object with this one name: no text that a person sets can be taken for it.
SEALED = "$sealed"

# Every pattern ends so. A mere $ is, in Python and not in JSON schema, also before a last line feed.
END = r"$(?!\n)"

Url = Annotated[str, msgspec.Meta(max_length=2000, extra={"url": True})]
PlaceUrl = Annotated[str, msgspec.Meta(max_length=2000, extra={"place": True})]
Secret = Annotated[str, msgspec.Meta(max_length=8000, extra={"secret": True})]
Path = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^/[A-Za-z0-9._~:@!$&*+,;=%/-]*{END}", max_length=500, description="a path from the /"
    ),
]
# A name or a password that a protocol carries in one line.
_LINE = rf"^[^\x00-\x1f\x7f]*{END}"
Line = Annotated[str, msgspec.Meta(pattern=_LINE, max_length=200)]
SecretLine = Annotated[Secret, msgspec.Meta(pattern=_LINE)]
Word = Annotated[str, msgspec.Meta(pattern=rf"^[^\x00-\x1f\x7f-\x9f]{{1,100}}{END}")]

IncidentKind = Literal["theft", "robbery", "loss", "fraud"]
Reasons = Annotated[
    dict[IncidentKind, Word],
    msgspec.Meta(
        description="an object with the partner's word, of at most 100 characters, for a kind of incident: "
        + ", ".join(get_args(IncidentKind))
        + "; a word in the reasons of the partner's scope (--reason) comes before it"
    ),
]


def checked(form: type[msgspec.Struct], given: object) -> msgspec.Struct:
    """The settings in their form. Raises Invalid with one flaw for each setting that is wrong."""
    if not isinstance(given, Mapping):
        raise Invalid("The settings would be a JSON object of names and values.", "settings-invalid")
    flaws = (*_strangers(form, given), *_wrong(form, given))
    if flaws:
        raise Invalid(told(flaws, "{} of the settings are wrong or missing."), "settings-invalid", flaws)
    try:
        return msgspec.convert(given, form)
    except msgspec.ValidationError as error:
        raise Invalid(f"The settings do not go together: {error}.", "settings-invalid") from None


def public(form: type[msgspec.Struct], given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as people may see them: what is secret, sealed, or no setting of this form, is masked."""
    hidden = secret_names(form) | {
        name for name in given if name not in _names(form) or is_sealed(given[name])
    }
    return {name: MASK if name in hidden and value else value for name, value in given.items()}


def secret_names(form: type[msgspec.Struct]) -> frozenset[str]:
    """The settings of a form that hold a secret."""
    return frozenset(field.encode_name for field in _fields(form) if _marked(field, "secret"))


def is_sealed(value: object) -> bool:
    """Whether this is a secret as it is stored, and not as it is used."""
    return isinstance(value, Mapping) and value.keys() == {SEALED}


def hosts(form: type[msgspec.Struct], given: Mapping[str, Any]) -> dict[str, str]:
    """The host of each address that is one, by the setting's name."""
    marked = (field for field in _fields(form) if _marked(field, "url") or _marked(field, "place"))
    named = {
        field.encode_name: urlsplit(given[field.encode_name]).hostname
        for field in marked
        if given.get(field.encode_name) and not _fault(field, given[field.encode_name])
    }
    return {name: host for name, host in named.items() if host}


def secrets(settings: msgspec.Struct) -> tuple[str, ...]:
    """The secret values that these settings hold."""
    held = (getattr(settings, field.name) for field in _fields(type(settings)) if _marked(field, "secret"))
    return tuple(value for value in held if isinstance(value, str) and value)


@cache
def _fields(form: type[msgspec.Struct]) -> tuple[FieldInfo, ...]:
    """A form's fields; msgspec takes a millisecond to name them."""
    return msgspec.structs.fields(form)


def _names(form: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in _fields(form)]


def _strangers(form: type[msgspec.Struct], given: Mapping[str, Any]) -> Iterator[Flaw]:
    names = _names(form)
    for name in given:
        if name not in names:
            text = f"There is no setting '{shown(name)}'; there are {', '.join(names)}."
            yield Flaw(text, _pointer(name), "setting-unknown")


def _wrong(form: type[msgspec.Struct], given: Mapping[str, Any]) -> Iterator[Flaw]:
    for field in _fields(form):
        name = field.encode_name
        if name in given:
            fault = _fault(field, given[name])
            code = "setting-wrong"
        else:
            fault = "it is missing" if field.required else ""
            code = "setting-missing"
        if fault:
            yield Flaw(f"Setting '{name}': {fault}{_right(field)}.", _pointer(name), code)


def _fault(field: FieldInfo, value: object) -> str:
    try:
        msgspec.convert(value, field.type)
    except msgspec.ValidationError as error:
        return _misfit(field.type, value, str(error), hidden=_marked(field, "secret"))
    if _marked(field, "url"):
        return _address_fault(str(value), _no_http)
    return _address_fault(str(value), _no_place) if _marked(field, "place") else ""


def _misfit(form: Any, value: object, said: str, *, hidden: bool) -> str:
    """What is wrong with a value, or with the first part of a list or an object that is wrong."""
    form = _bare(form)
    for place, inner, part in _parts(form, value):
        try:
            msgspec.convert(part, inner)
        except msgspec.ValidationError as error:
            at = place if hidden or not isinstance(part, str) else f"{place} '{shown(part)}'"
            return f"{at}: {_choice(inner) or _misfit(inner, part, str(error), hidden=hidden)}"
    return "its form is another" if "regex" in said else sentence(said)


def _parts(form: Any, value: object) -> Iterator[tuple[str, Any, object]]:
    """The parts of a list or an object: where each stands, its form, and what it is."""
    if isinstance(value, list) and get_origin(form) in (list, tuple):
        yield from ((f"item {place}", get_args(form)[0], part) for place, part in enumerate(value, 1))
    elif isinstance(value, Mapping) and get_origin(form) is dict:
        of_names, of_values = get_args(form)
        yield from (("the name", of_names, name) for name in value)
        yield from ((f"under '{shown(name)}'", of_values, part) for name, part in value.items())


def _choice(form: Any) -> str:
    words = get_args(_bare(form)) if get_origin(_bare(form)) is Literal else ()
    return f"it would be one of {', '.join(words)}" if words else ""


def _bare(form: Any) -> Any:
    return get_args(form)[0] if get_origin(form) is Annotated else form


def _address_fault(address: str, fault: Callable[[SplitResult], str]) -> str:
    if not (address.isascii() and address.isprintable()) or " " in address or "\\" in address:
        return "it holds characters that no address has"
    try:
        parts = urlsplit(address)
        found = "its port is not one" if parts.port == 0 else fault(parts)
    except ValueError:
        return "its host, port or path is not one"
    if "@" in parts.netloc:
        return "it would hold no user name and no password; those have settings of their own"
    return found or ("it would hold no #fragment" if "#" in address else "")


def _no_http(parts: SplitResult) -> str:
    fits = parts.scheme in ("http", "https") and parts.hostname
    return "" if fits else "it would begin with https:// or http:// and a host"


def _no_place(parts: SplitResult) -> str:
    path = unquote(parts.path, errors="strict")
    if parts.scheme not in ("sftp", "file") or bool(parts.hostname) is not (parts.scheme == "sftp"):
        return "it would begin with sftp:// and a host, or with file:/// and a directory's name"
    if parts.scheme == "file" and names_no_directory(path):
        return "it would name a directory below IMEI_GATEWAY_FILES_ROOT"
    if ".." in path.split("/") or not path.isprintable() or parts.query:
        return "its path would hold no '..', no control character and no ?query"
    return ""


def names_no_directory(path: str) -> bool:
    """Whether a path leads no further than to where it begins."""
    return not set(path.split("/")) - {"", "."}


def _right(field: FieldInfo) -> str:
    described = [meta.description for meta in _metas(field.type) if meta.description]
    return f"; it would be {described[-1]}" if described else ""


def _marked(field: FieldInfo, mark: str) -> bool:
    return any((meta.extra or {}).get(mark) for meta in _metas(field.type))


def _metas(annotation: Any) -> Iterator[msgspec.Meta]:
    """Every Meta in a type, however deep: a secret inside a list or an optional is a secret."""
    yield from (meta for meta in getattr(annotation, "__metadata__", ()) if isinstance(meta, msgspec.Meta))
    for inner in get_args(annotation):
        yield from _metas(inner)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        for field in _fields(annotation):
            yield from _metas(field.type)


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
