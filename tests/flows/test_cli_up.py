"""One `up` to a data directory, and whose address stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from .command import Gateway


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path / "data")


def left(gateway: Gateway) -> str:
    return (gateway.data_dir / "gateway.url").read_text().strip()


def test_a_second_up_is_refused_by_the_address_of_the_first(gateway: Gateway) -> None:
    with gateway.started("up", "--port", "0", until="Administrator key"):
        second = gateway.run("up", "--port", "0")
        assert second.returncode == 1
        assert second.stderr.startswith(f"A gateway is up on {gateway.data_dir} already, at {gateway.url}. ")
        assert left(gateway) == gateway.url


def test_what_an_up_that_was_killed_has_left_keeps_nobody_out(gateway: Gateway) -> None:
    with gateway.started("up", "--port", "0", until="Administrator key") as first:
        first.kill()
        first.wait()
    assert left(gateway) == gateway.url
    with gateway.started("up", "--port", "0", until="Data directory"):
        assert left(gateway) == gateway.url


def test_an_api_beside_an_up_leaves_its_address_alone(gateway: Gateway) -> None:
    with gateway.started("up", "--port", "0", until="Administrator key"):
        beside = Gateway(gateway.data_dir)
        with beside.started("serve", "--port", "0", until="Data directory"):
            assert beside.url != gateway.url
            assert left(gateway) == gateway.url
        assert left(gateway) == gateway.url
    with beside.started("serve", "--port", "0", until="Data directory"):
        assert left(gateway) == beside.url
    assert not (gateway.data_dir / "gateway.url").exists()
