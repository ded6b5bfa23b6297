"""Our signatures are good for the reference library, and its are good for us."""

from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.adapters import signature
from app.core.errors import Unauthorised

from .subjects import OLD_SECRET, SECRET

BODY = '{"price":"5 €"}'.encode()


def _now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize("keys", [(SECRET,), (OLD_SECRET, SECRET), (SECRET, OLD_SECRET)])
def test_the_reference_library_believes_ours(keys):
    headers = signature.signed(signature.keys(*keys), "msg_1", _now(), BODY)
    assert Webhook(SECRET).verify(BODY, headers) == {"price": "5 €"}


def test_the_reference_library_refuses_ours_under_another_secret():
    headers = signature.signed(signature.keys(OLD_SECRET), "msg_1", _now(), BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY, headers)


def _theirs(at: datetime) -> dict[str, str]:
    signed = Webhook(SECRET).sign("msg_1", at, BODY.decode())
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signed}


def test_we_believe_the_reference_library():
    at = _now()
    signature.verify(signature.keys(OLD_SECRET, SECRET), _theirs(at), BODY, at)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", "msg_2"),
        ("webhook-id", ""),
        ("webhook-id", "\udc80"),
        ("webhook-timestamp", ""),
        ("webhook-timestamp", "soon"),
        ("webhook-timestamp", "٣"),
        ("webhook-timestamp", "9" * 400),
        ("webhook-signature", ""),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "v1,ééé"),
        ("webhook-signature", "v2,AAAA"),
    ],
)
def test_anything_changed_is_refused(name, value):
    at = _now()
    with pytest.raises(Unauthorised):
        signature.verify(signature.keys(SECRET), _theirs(at) | {name: value}, BODY, at)


@pytest.mark.parametrize(("seconds", "fresh"), [(299, True), (-299, True), (302, False), (-302, False)])
def test_five_minutes_are_allowed_either_way(seconds, fresh):
    at = _now().replace(microsecond=0)
    later = at + timedelta(seconds=seconds)
    if fresh:
        signature.verify(signature.keys(SECRET), _theirs(at), BODY, later)
    else:
        with pytest.raises(Unauthorised):
            signature.verify(signature.keys(SECRET), _theirs(at), BODY, later)


def test_another_body_or_no_key_is_refused():
    at = _now()
    with pytest.raises(Unauthorised):
        signature.verify(signature.keys(SECRET), _theirs(at), BODY + b" ", at)
    with pytest.raises(Unauthorised):
        signature.verify(signature.keys(""), _theirs(at), BODY, at)
