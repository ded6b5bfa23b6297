"""What is to be known of a route: its notes, for the OpenAPI document, and the names of its parameters."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

import msgspec
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from app.access.roles import Permission
from app.api.dialect import Dialect


class Notes(msgspec.Struct, frozen=True):
    """`conflict`, `missing`, `gone`, `closed` and `unsigned` say when the answer is 409, 404, 410, 429, or 401 on an
    `open` route, which asks for no key. `answer` is the media type of the answer, if it is none of `or_else`, `form`
    the type of one that the handler's signature does not name. `body`: the handler reads the body by itself. `dialect`
    is the one that refusals are in, where they are not in our form. `any_query` passes over parameters that nobody
    knows. `headers` are the request headers that the route looks at, as parameters of the document; `unacceptable`
    says when the answer is 406. `bare`: the body may be left out, which says nothing. Whoever lacks what a route
    `needs` is refused before its body is read. `needed` query parameters are judged by the handler, and none may be
    left out. `forms` are the types of answers of other media types; `tagged`: the answer has an ETag, and is 304 for
    whoever has it; `link` says where its header Link leads; `proposes`: where others
    must approve it first, it answers 202 with the proposal."""

    conflict: str = ""
    missing: str = ""
    gone: str = ""
    closed: str = ""
    unsigned: str = ""
    answer: str = "application/json"
    or_else: tuple[str, ...] = ()
    form: Any = None
    body: bool = False
    bare: bool = False
    dialect: Dialect | None = None
    open: bool = False
    any_query: bool = False
    headers: tuple[dict[str, Any], ...] = ()
    unacceptable: str = ""
    needs: Permission | None = None
    needed: tuple[str, ...] = ()
    forms: dict[str, Any] = {}
    tagged: bool = False
    link: str = ""
    proposes: bool = False

    @property
    def opt(self) -> dict[str, Notes]:
        """The `opt` of a route that has these notes."""
        return {"notes": self}


def of(handler: BaseRouteHandler) -> Notes:
    """The notes of a route; none are needed."""
    found: Notes = handler.opt.get("notes", Notes())
    return found


@cache
def parameters(handler: BaseRouteHandler) -> dict[str, str]:
    """The query parameters of a route: what the handler calls each, and its name in the query."""
    return {
        name: note.name or name
        for name, field in handler.parsed_fn_signature.parameters.items()
        if isinstance(note := field.kwarg_definition, QueryParameter)
    }


@cache
def forms(handler: BaseRouteHandler) -> dict[str, Any]:
    """The types of those, with their bounds, by their names in the query."""
    held = {field.name: field.type for field in msgspec.structs.fields(handler.signature_model)}
    return {name: held[field] for field, name in parameters(handler).items()}


@cache
def numbers(handler: BaseRouteHandler) -> frozenset[str]:
    """Those of them that are whole numbers."""
    fields = handler.parsed_fn_signature.parameters
    return frozenset(
        name
        for field, name in parameters(handler).items()
        if int in (fields[field].annotation, *get_args(fields[field].annotation))
    )
