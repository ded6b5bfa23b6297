"""What others must approve first, at the command line: keys, people, rules."""

from __future__ import annotations

import json

import pytest

from .command import Commands


@pytest.fixture
def approver(desk: Commands) -> str:
    return str(desk.told("key", "create", "--name", "Marie", "--role", "approver")["key"])


def test_a_key_that_decides_is_good_only_when_somebody_else_has_approved_it(desk, approver) -> None:
    new = ("key", "create", "--name", "Paul", "--role", "incident-manager", "--json")
    made = desk.run(*new)
    assert made.returncode == 7
    told = json.loads(made.stdout)
    assert desk.run("incidents", key=told["key"]).returncode == 6
    number = str(told["proposal"]["id"])
    alone = desk.run("proposal", "approve", number)
    assert (alone.returncode, "somebody else" in alone.stderr) == (6, True)
    assert desk.told("proposal", "approve", number, key=approver)["state"] == "done"
    assert desk.told("incidents", key=told["key"])["incidents"] == []
    listed = {one["key_id"]: one for one in desk.told("key", "list")["keys"]}
    assert listed[told["id"]]["role"] == "incident-manager"


def test_a_key_that_decides_nothing_takes_nobody_else(desk, approver) -> None:
    assert desk.told("key", "create", "--name", "Dock", "--role", "goods-in")["key"]


def test_whoever_has_the_database_asks_nobody_and_the_log_says_so(desk, approver) -> None:
    new = ("key", "create", "--name", "Paul", "--role", "approver", "--operator")
    made = desk.told(*new)
    assert desk.told("incidents", key=made["key"])["incidents"] == []
    (found,) = (one for one in desk.told("key", "list")["keys"] if one["key_id"] == made["id"])
    assert found["created_by"].startswith("operator:")


def test_ones_own_secret_is_changed_alone_and_another_s_is_not(desk, approver) -> None:
    keys = {one["role"]: one["key_id"] for one in desk.told("key", "list")["keys"]}
    assert desk.told("key", "rotate", keys["admin"])["key"]
    theirs = desk.run("key", "rotate", keys["approver"], "--json")
    assert theirs.returncode == 7
    told = json.loads(theirs.stdout)
    assert desk.run("proposal", "list", key=told["key"]).returncode == 6
    desk.told("proposal", "approve", str(told["proposal"]["id"]), key=approver)
    assert desk.told("proposal", "list", "--all", key=told["key"])["proposals"][0]["state"] == "done"


def test_the_teams_and_ends_of_a_key_are_changed_by_two(desk, approver) -> None:
    marie = next(one["key_id"] for one in desk.told("key", "list")["keys"] if one["role"] == "approver")
    teams = desk.approved("key", "groups", marie, "security", by=approver)
    assert teams["would"] == {"groups": ["security"]}
    desk.approved("key", "expire", marie, "2099-01-01T00:00:00Z", by=approver)
    desk.approved("key", "networks", marie, "10.0.0.0/8", by=approver)
    found = next(one for one in desk.told("key", "list")["keys"] if one["key_id"] == marie)
    assert (found["groups"], found["networks"]) == (["security"], ["10.0.0.0/8"])
    assert found["expires_at"].startswith("2099-01-01")
    assert desk.told("key", "revoke", marie)["revoked"] is True


def test_a_rule_is_ended_by_two_and_the_last_one_stays(desk, approver) -> None:
    rules = {one["subject"]: str(one["rule_id"]) for one in desk.told("rule", "list")["rules"]}
    last = desk.run("rule", "end", rules["block"])
    assert (last.returncode, "add another one first" in last.stderr) == (1, True)
    ended = desk.approved("rule", "end", rules["rule"], by=approver)
    assert ended["would"]["approvers"] == 1
    assert desk.told("rule", "end", rules["partner"])["ended"] is True
    url = ("--adapter", "eir_push", "--setting", "url=https://eir.example")
    assert desk.told("partner", "add", "Nord", *url)["id"]


def test_rules_that_nobody_can_meet_are_ended_by_the_operator(desk, approver) -> None:
    ghost = ("rule", "add", "rule", "--approvers", "1", "--group", "ghosts")
    assert "Nobody who may approve is of ghosts" in desk.run(*ghost).stdout
    number = desk.approved(*ghost, by=approver)["place"].removeprefix("rule:")
    waits = json.loads(desk.run("rule", "end", number, "--json").stdout)["proposal"]
    stuck = desk.told("proposal", "approve", str(waits["id"]), key=approver)
    assert (stuck["state"], stuck["lacking"]) == ("waiting", "somebody of ghosts")
    assert desk.told("rule", "end", number, "--operator")["ended"] is True
    assert number not in {str(one["rule_id"]) for one in desk.told("rule", "list")["rules"]}


def test_a_person_is_let_in_by_two_and_invited_then(desk, approver) -> None:
    said = ("--name", "Ann", "--email", "ann@retailer.example", "--role", "approver")
    proposal = desk.approved("person", "add", *said, by=approver)
    person = proposal["place"].removeprefix("person:")
    assert desk.told("person", "invite", person)["token"]
    desk.approved("person", "role", person, "admin", by=approver)
    assert desk.told("person", "list")["people"][0]["role"] == "admin"
    desk.approved("person", "reset-factor", person, by=approver)


def test_what_waits_is_shown_rejected_and_taken_back(desk, approver) -> None:
    url = ("--adapter", "eir_push", "--setting", "url=https://eir.example")
    said = desk.run("partner", "add", "Nord", *url)
    assert (said.returncode, "proposal approve 1" in said.stdout) == (7, True)
    shown = desk.run("proposal", "show", "1").stdout
    assert "https://eir.example" in shown
    assert "partner-add" in desk.run("proposal", "list").stdout
    rejected = desk.told("proposal", "reject", "1", "--reason", "Nobody asked them", key=approver)
    assert rejected["state"] == "rejected"
    desk.run("partner", "add", "Nord", *url)
    assert desk.told("proposal", "withdraw", "2", "--reason", "A mistake")["state"] == "withdrawn"
    assert desk.told("proposal", "list")["proposals"] == []
    assert desk.told("partner", "list")["partners"] == []
