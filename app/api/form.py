"""A form (multipart/form-data, RFC 7578) as it comes: its one file goes on as it is, and its fields count as if they
stood in the query. Nothing of it is held but a field, which is short.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import msgspec
from litestar.handlers import BaseRouteHandler
from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from app.api import notes
from app.api.guards import parameter_flaw
from app.api.problems import misfit
from app.core.errors import Flaw, Invalid
from app.core.imei import shown

TYPE = "multipart/form-data"
FIELD = 4096
"""The most bytes of a field."""

# As RFC 2046 has it.
_LONGEST_BOUNDARY = 70
_FILENAME = re.compile(r";\s*filename\*\s*=\s*\"?[\w-]*'[\w-]*'([^\s;\"]*)", re.IGNORECASE)
_PLAIN = frozenset(("", "7bit", "8bit", "binary"))


def boundary(sent_as: str) -> str | None:
    """What stands between the parts of a form; None where the content type is of no form. Raises Invalid."""
    kind, options = parse_options_header(sent_as)
    if kind != TYPE:
        return None
    found: str = options.get("boundary", "")
    if not 0 < len(found) <= _LONGEST_BOUNDARY:
        text = (
            f"The form's content type names no usable boundary; it would be {TYPE}; boundary=…, with at most"
            f" {_LONGEST_BOUNDARY} characters that stand between the parts."
        )
        raise Invalid(text, "form-boundary")
    return found


class Form:
    """A form for a route: its file is written with `write`; what it says beside it is checked as the query is, in
    which some parameters were `given` already."""

    def __init__(
        self,
        handler: BaseRouteHandler,
        boundary: str,
        write: Callable[[bytes], object],
        given: Iterable[str] = (),
    ) -> None:
        # Names of files come in any encoding, and Latin-1 reads them all. What may stand before the first part and
        # after the last one is passed over, so where the network cuts the body makes no difference.
        self._parser = PushMultipartParser(boundary, header_charset="latin-1")
        self._handler = handler
        self._seen = set(given)
        self._write = write
        self._has_file = False
        self._field = ""
        self._value: bytes | None = None
        self.sent_as = ""
        self.filename = ""
        self.said: dict[str, Any] = {}

    def take(self, part: bytes) -> None:
        """The next bytes of the body. Raises Invalid."""
        with _told():
            for event in self._parser.parse(part):
                if isinstance(event, MultipartSegment):
                    self._begin(event)
                elif self._value is None:
                    self._write(event or b"")
                elif event:
                    self._grow(self._value + event)
                else:
                    self._end_field(self._value)

    def end(self) -> None:
        """The body has ended. Raises Invalid where the form has not, or holds no file."""
        with _told():
            self._parser.close()
        if not self._has_file:
            text = "The form holds no file; it would be a part with a filename, as curl -F file=@goods.csv sends it."
            raise Invalid(text, "form-no-file")

    def _begin(self, part: MultipartSegment) -> None:
        self._field = _utf8(part.name or "")
        filename = _filename(part)
        self._value = b"" if filename is None else None
        encoding = (part.header("Content-Transfer-Encoding") or "").strip().lower()
        if encoding not in _PLAIN:
            raise _wrong(
                self._field, f"it is sent as {shown(encoding)}; it would be sent as it is", "form-encoded"
            )
        if filename is None:
            return
        if self._has_file:
            raise _wrong(
                self._field, "it is a second file; it would be a request of its own", "form-second-file"
            )
        self._has_file = True
        self.filename, self.sent_as = filename, part.content_type or ""

    def _grow(self, value: bytes) -> None:
        if len(value) > FIELD:
            text = f"it is larger than {FIELD:,} bytes; a file would be a part with a filename"
            raise _wrong(self._field, text, "form-field-large")
        self._value = value

    def _end_field(self, value: bytes) -> None:
        name, handler = self._field, self._handler
        forms = notes.forms(handler)
        if flaw := parameter_flaw(name, value, self._seen, forms.keys(), notes.numbers(handler)):
            hint = "; a file would be a part with a filename" if flaw.code == "parameter-unknown" else ""
            raise _wrong(name, flaw.detail + hint, flaw.code)
        self._seen.add(name)
        try:
            said = msgspec.convert(value.decode(), forms[name], strict=False)
        except msgspec.ValidationError as error:
            flaw = misfit(name, str(error), forms[name], value.decode())
            raise _wrong(name, flaw.detail, flaw.code) from None
        self.said |= {field: said for field, it in notes.parameters(handler).items() if it == name}


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except MultipartError as error:
        why = shown(str(error.args[0]), 100)
        text = f"The form is broken off or malformed ({why}); it would be {TYPE} as RFC 7578 has it."
        raise Invalid(text, "form-broken") from None


def _filename(part: MultipartSegment) -> str | None:
    """The name of a part's file, None where it is no file. Some clients send it in the form of RFC 5987 alone."""
    if part.filename is not None:
        return str(part.filename)
    found = _FILENAME.search(part.header("Content-Disposition") or "")
    return unquote(found[1]) if found else None


def _utf8(name: str) -> str:
    return name.encode("latin-1").decode("utf-8", "replace")


def _wrong(name: str, why: str, code: str) -> Invalid:
    place = shown(name)
    return Invalid(f"The form cannot be read: {place}: {why}.", "form-wrong", (Flaw(why, place, code),))
