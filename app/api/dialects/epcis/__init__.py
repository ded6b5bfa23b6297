"""EPCIS 2.0 over HTTP (GS1, REST binding): events are captured under /epcis/capture and asked for under
/epcis/events. JSON only; EPCs are answered as they came."""

from litestar import Router

from app.api.dialects.epcis import captures, events, speech

router = Router(
    "/epcis",
    route_handlers=[
        # Before others of its path: the framework makes up an OPTIONS of its own where it has met none.
        captures.discover, captures.submit, captures.jobs, captures.job, events.submit, events.ask, events.one,
    ],
    before_request=speech.agreed,
    response_headers=speech.ALWAYS,
    tags=["EPCIS"],
)  # fmt: skip
