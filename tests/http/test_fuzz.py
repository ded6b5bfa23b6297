"""Schemathesis against a running gateway: whatever is sent, it answers as its document says."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks
from schemathesis import openapi as loader
from schemathesis.specs.openapi import checks as openapi_checks

from app.api import openapi
from app.api.routes import application

from .conftest import Gateway, serving

CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.ignored_auth,
]
DOCUMENT = openapi.document(application())
# The stream of an incident does not end before the incident does.
schema = loader.from_dict(DOCUMENT).exclude(operation_id="watchIncident")
# With keys that are made up, nothing would be seen but 401.
schema.config.generation.update(with_security_parameters=False)


@pytest.fixture(scope="module")
async def fuzzed(cluster, template, tmp_path_factory) -> AsyncIterator[Gateway]:
    """A gateway that nobody else looks at, without a worker."""
    async with serving(cluster, template, tmp_path_factory.mktemp("fuzzed"), "web") as gateway:
        yield gateway


XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@schemathesis.serializer("application/x-ndjson", "text/csv", "application/edifact", XLSX)
def as_text(context: object, value: object) -> bytes:
    """Files are any text."""
    return str(value).encode("utf-8", "replace")


class Key:
    """Marks a case as having a key, which the check of authorisation takes out again. The key itself is not known
    yet when cases are made."""

    def get(self, case: schemathesis.Case, context: object) -> str:
        return "the administrator's"

    def set(self, case: schemathesis.Case, data: str, context: object) -> None:
        case.headers["Authorization"] = data


@schema.auth(Key)
@schema.parametrize()
@settings(
    max_examples=25, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
def test_answers_as_documented(fuzzed, case: schemathesis.Case):
    case.headers["Authorization"] = f"Bearer {fuzzed.keys['admin']}"
    # Whoever waits for a change of the block list may wait for a minute.
    case.call_and_validate(base_url=fuzzed.url, checks=CHECKS, timeout=90)
