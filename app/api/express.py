"""The question that carriers ask a million times, answered without the framework, which takes longer than all the rest
of it. Nothing but a right answer is given here: whatever is refused, unusual or wrong goes on to the application, as if
it had just come, and is answered as anything else is; but whoever has waited for the database long enough waits no
second time.
"""

from __future__ import annotations

import msgspec
from litestar import Litestar, Request
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from app.access import bearers
from app.access.bearers import Bearer
from app.access.keys import Claimed
from app.api import certificate, problems, status
from app.api.allowance import Allowance
from app.api.leftovers import NOT_KEPT
from app.blocklist.answer import one_status
from app.blocklist.enquiry import Question
from app.core import imei
from app.core.errors import GatewayError

_PATH = f"{status.router.path}/"
_TEMPLATE = f"{_PATH}{{imei}}"
_SCHEME = b"bearer "
_JSON = (b"content-type", b"application/json")
# A certificate is to be looked at, and a body to be passed over.
_UNUSUAL = frozenset((certificate.HEADER.encode(), b"content-length", b"transfer-encoding"))


def express(app: Litestar, otherwise: ASGIApp) -> ASGIApp:
    """Answers for `app`, and leaves the rest to what wraps it."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await otherwise(scope, receive, send)
            return
        try:
            body = await _answered(scope, app.state)
        except TimeoutError as error:
            scope["path_template"] = _TEMPLATE
            await problems.away(error).to_asgi_response(None, Request(scope))(scope, receive, send)
            return
        if body is None:
            await otherwise(scope, receive, send)
            return
        scope["path_template"] = _TEMPLATE
        await send(_start(body))
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return answer


async def _answered(scope: HTTPScope, state: State) -> bytes | None:
    """The answer to somebody who may ask for the identifier in the path, and asks for nothing else."""
    path = scope["path"]
    if scope["method"] != "GET" or scope["query_string"] or not path.startswith(_PATH):
        return None
    text = path[len(_PATH) :]
    key, bearer = imei.asked(text), _bearer(scope)
    if key is None or bearer is None or _is_used_up(bearer, state):
        return None
    try:
        heard = await state.enquiries.by_bearer(Question(bearer, key))
        # Where somebody comes from is looked at with the rest of what is unusual.
        if heard is None or heard.asker.networks is not None:
            return None
        await Allowance(heard.asker, state, scope).spend(1)
    except TimeoutError:
        raise
    except Exception:  # whatever it was, the application meets it as well, and says what it was
        return None
    state.enquiries.note(heard.asker, key, heard.answer, status.API)
    return msgspec.json.encode(one_status(text, heard.answer, heard.asker))


def _is_used_up(bearer: Bearer, state: State) -> bool:
    """Whether the quota of this key is known to be used up, whoever shows it: then nothing is looked up for it."""
    return isinstance(bearer, Claimed) and bool(state.quotas.is_used_up(bearer.key_id))


def _bearer(scope: HTTPScope) -> Bearer | None:
    """The one key or token that came with the request, from somebody of whom nothing else is to be looked at."""
    shown = b""
    for name, value in scope["headers"]:
        if name in _UNUSUAL or (name == b"authorization" and shown):
            return None
        if name == b"authorization":
            shown = value
    if shown[: len(_SCHEME)].lower() != _SCHEME:
        return None
    try:
        return bearers.claim(shown[len(_SCHEME) :].decode("latin-1").strip(), None)
    except GatewayError:
        return None


def _start(body: bytes) -> Message:
    headers = [_JSON, NOT_KEPT, (b"content-length", str(len(body)).encode())]
    return {"type": "http.response.start", "status": 200, "headers": headers}
