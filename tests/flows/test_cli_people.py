"""People from the command line: added with an invitation, given another role, and ended."""

from __future__ import annotations

from .command import Commands


def test_a_person_is_added_changed_and_ended(desk: Commands):
    added = desk.told(
        "person", "add", "--name", "Marie", "--email", "Marie@Retailer.example", "--role", "approver",
        "--group", "security", "--site", "PAR-1",
    )  # fmt: skip
    assert added["token"].startswith("imei_i_")
    number = added["person_id"]
    assert desk.told("person", "invite", number)["token"] != added["token"]
    desk.told("person", "role", number, "auditor")
    desk.told("person", "reset-factor", number)
    desk.told("person", "end", number)
    found = next(one for one in desk.told("person", "list")["people"] if one["person_id"] == number)
    assert (found["email"], found["role"]) == ("marie@retailer.example", "auditor")
    assert (found["groups"], found["sites"], found["enrolled"]) == (["security"], ["PAR-1"], False)
    assert found["ended_at"]
