"""How those who speak a published API are refused: in the form that it has for refusals, wherever the path of a
request begins with its own, be there a route or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from app.api.problems import AnyRequest, Problem


def no_headers(_: AnyRequest, __: Problem) -> dict[str, str]:
    return {}


class Dialect(NamedTuple):
    """`path` is what its paths begin with. `refusal` makes of our problem document a value of the type `form`, which
    is sent as `media_type`; `headers` are those that a refusal has beside ours. `told` describes, for the OpenAPI
    document, the headers of all its answers."""

    path: str
    form: Any
    refusal: Callable[[AnyRequest, Problem], object]
    media_type: str = "application/problem+json"
    headers: Callable[[AnyRequest, Problem], dict[str, str]] = no_headers
    told: Mapping[str, Any] = {}
