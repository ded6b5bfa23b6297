"""Partners at the desk: what was given up is seen, and that nobody works; what a command did, and what it did not."""

from __future__ import annotations

import json

import asyncpg
import pytest

from app.core import imei
from app.core.db import Connection
from app.delivery.progress import WORKER

from .command import Commands

KEYS = [35_209915_000000 + number for number in range(24)]


@pytest.fixture
async def given_up(desk: Commands, conn: Connection) -> tuple[Commands, int]:
    """A desk, and an incident of which 24 orders are parked at the partner Nord."""
    settings = ("--adapter", "eir_push", "--setting", "url=https://eir.example")
    nord = desk.told("partner", "add", "Nord & Co", *settings)["id"]
    incident: int = await conn.fetchval(
        "INSERT INTO incident (title, kind, site, police_reference, scope, state, drafted_by, drafted_at,"
        " submitted_by, submitted_at, approved_by, approved_at, assents)"
        " VALUES ('Dock 4', 'theft', '', '', '{}', 'approved', 'x', now(), 'x', now(), 'y', now(), '{y}')"
        " RETURNING incident_id"
    )
    command = await conn.fetchval(
        "INSERT INTO command (op, incident_id, identifiers, ordered_at, ordered_by)"
        " VALUES ('block', $1, 24, now(), 'x') RETURNING command_id",
        incident,
    )
    await conn.execute(
        "INSERT INTO progress (command_id, partner_id, wanted, parked) VALUES ($1, $2, 24, 24)", command, nord
    )
    await conn.execute(
        "INSERT INTO delivery_item (partner_id, key, version, op, command_id, state, code, words, ref, changed_at)"
        " SELECT $1, key, 1, 'block', $2, 'parked', 'late', 'Given up', '', now() FROM unnest($3::bigint []) AS key",
        nord, command, KEYS,
    )  # fmt: skip
    return desk, incident


def _drawn(desk: Commands, width: int, *arguments: str) -> str:
    desk = Commands({**desk.environ(None), "COLUMNS": str(width)})
    done = desk.run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("width", [80, 120])
def test_what_is_parked_is_found_from_the_list_on(given_up: tuple[Commands, int], width: int) -> None:
    desk, incident = given_up
    listed = " ".join(_drawn(desk, width, "partner", "list").split())
    assert "24 orders are parked: 'imei-gateway partner parked' says where, and what to do" in listed
    found = _drawn(desk, width, "partner", "parked")
    assert "Dock 4" in found
    assert "imei-gateway partner replay 'Nord & Co' --which parked" in found
    assert desk.told("partner", "parked")["parked"][0]["parked"] == 24
    shown = _drawn(desk, width, "incident", str(incident))
    assert f"… and 14 more of Nord & Co: 'imei-gateway incident {incident} --refusals'" in " ".join(
        shown.split()
    )
    every = _drawn(desk, width, "incident", str(incident), "--refusals")
    assert all(imei.full(key) in every for key in KEYS)
    assert "more of" not in every


def test_a_watch_ends_and_says_that_orders_are_parked(given_up: tuple[Commands, int]) -> None:
    desk, incident = given_up
    watched = desk.run("watch", str(incident), "--timeout", "5")
    assert watched.returncode == 0, watched.stderr
    assert "24 orders are parked" in watched.stdout
    assert "settled" not in watched.stdout


async def test_that_no_worker_runs_is_said(desk: Commands, conn: Connection, database: str) -> None:
    assert "No worker is running" in desk.run("partner", "list").stdout
    assert desk.told("partner", "list")["worked"] is False
    working = await asyncpg.connect(database, server_settings={"application_name": WORKER})
    await working.execute("SELECT 1")
    assert "No worker" not in desk.run("partner", "list").stdout
    assert desk.told("partner", "list")["worked"] is True
    await working.close()


def test_a_second_pause_says_that_it_was_paused_and_why(desk: Commands) -> None:
    desk.told("partner", "add", "Nord", "--adapter", "eir_push", "--setting", "url=https://eir.example")
    first = desk.run("partner", "pause", "Nord", "--reason", "Their maintenance")
    assert first.stdout == "Partner 1 (Nord) is paused: Their maintenance\n"
    second = desk.run("partner", "pause", "Nord", "--reason", "Their holidays")
    assert second.returncode == 0
    assert second.stdout == "Partner 1 (Nord) was paused already, and the reason stays: Their maintenance\n"


def test_what_a_reconcile_does_is_said(desk: Commands) -> None:
    pairs = ("--setting", "url=https://eir.example", "--setting", "provisioning_key=hush")
    desk.told("partner", "add", "Asked", "--adapter", "eir_rest", *pairs)
    desk.told("partner", "add", "Given", "--adapter", "dirbs_file", "--setting", "url=file:///dirbs")
    assert desk.run("partner", "reconcile", "Asked").stdout == (
        "Asked is asked what it holds as soon as a worker is free.\n"
    )
    assert desk.run("partner", "reconcile", "Given").stdout == (
        "Given is given the whole list, in place of what it has, as soon as a worker is free.\n"
    )


async def test_who_may_not_be_removed_is_told_with_which_option(
    given_up: tuple[Commands, int], conn: Connection
) -> None:
    desk, _ = given_up
    await conn.execute("UPDATE progress SET parked = 0, done = 24")
    refused = desk.run("partner", "remove", "Nord & Co")
    assert "--leave-blocks" in refused.stderr
    assert desk.run("partner", "remove", "Nord & Co", "--leave-blocks").returncode == 0


def test_figures_of_the_list_are_those_of_the_api(given_up: tuple[Commands, int]) -> None:
    listed = json.loads(given_up[0].run("partner", "list", "--json").stdout)["partners"][0]
    figures = {name: listed[name] for name in ("health", "pending", "parked", "refused", "accepted")}
    assert figures == {"health": "parked", "pending": 0, "parked": 24, "refused": 0, "accepted": 0}


def test_files_that_no_directory_is_named_for_are_warned_of(desk: Commands) -> None:
    warning = "IMEI_GATEWAY_FILES_ROOT is not set here"
    assert warning in desk.run("adapter", "show", "dirbs_file").stdout
    assert warning not in desk.run("adapter", "show", "ceir").stdout
    place = ("--adapter", "dirbs_file", "--setting", "url=file:///dirbs")
    assert warning in desk.run("partner", "add", "Files", *place).stdout
    named = Commands({**desk.environ(None), "IMEI_GATEWAY_FILES_ROOT": "/srv/partners"})
    assert warning not in named.run("partner", "add", "More files", *place).stdout
    tried = " ".join(desk.run("partner", "try", "Files").stdout.split())
    assert "not set for this process" in tried
    assert "a running worker may have another setting" in tried


def test_what_is_wrong_with_a_scope_is_said_of_its_options(desk: Commands) -> None:
    hook = (
        "--adapter",
        "webhook",
        "--setting",
        "url=https://x.example",
        "--setting",
        "secret=whsec_" + "c2VjcmV0" * 5,
    )
    halved = desk.run("partner", "add", "Half", *hook, "--tac", "35209900").stderr
    assert "--: " not in halved
    assert "--tac, --brand, --gtin, --kind: name tacs or brands" in halved
    worded = desk.run("partner", "add", "Words", *hook, "--reason", "thef=Stolen").stderr
    assert worded.startswith("The reasons of the scope are not usable.")
