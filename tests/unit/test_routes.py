"""What holds for every route of the API."""

from __future__ import annotations

from litestar.routes import HTTPRoute

from app.api.routes import application


def test_no_route_waits_for_tasks_to_be_handed_what_it_needs():
    routes = [route for route in application().routes if isinstance(route, HTTPRoute)]
    models = [model for route in routes for _, model in route.route_handler_map.values()]
    batches = [batch for model in models for batch in model.dependency_batches]
    assert any(len(model.dependency_batches) > 3 for model in models)
    assert {len(batch) for batch in batches} == {1}
