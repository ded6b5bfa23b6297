"""An MME by python-diameter, as a process of its own. The first line that it prints is whether it is let in. Each line
that it reads is a JSON list of questions, an IMEI and a software version or null each, to which it prints the answers.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from diameter.message.avp.grouped import TerminalInformation, VendorSpecificApplicationId
from diameter.message.commands import MeIdentityCheckAnswer, MeIdentityCheckRequest
from diameter.node import Node
from diameter.node.application import Application

S13 = 16777252


class Mme(Application):
    """Keeps the answers by the numbers of their questions."""

    def __init__(self) -> None:
        super().__init__(S13, is_auth_application=True)
        self.answers: dict[int, MeIdentityCheckAnswer] = {}
        self.came = threading.Condition()

    def handle_answer(self, message: MeIdentityCheckAnswer) -> None:
        with self.came:
            self.answers[message.header.end_to_end_identifier] = message
            self.came.notify()

    def ask(self, realm: str, imei: str, version: str | None) -> int:
        question = MeIdentityCheckRequest()
        question.header.application_id = S13
        question.header.end_to_end_identifier = self.node.end_to_end_seq.next_sequence()
        question.session_id = self.node.session_generator.next_id()
        question.vendor_specific_application_id = VendorSpecificApplicationId(10415, S13)
        question.auth_session_state = 1
        question.origin_host = self.node.origin_host.encode()
        question.origin_realm = self.node.realm_name.encode()
        question.destination_realm = realm.encode()
        question.terminal_information = TerminalInformation(imei=imei, software_version=version)
        connection, _ = self.node.route_request(self, question)
        self.node.send_message(connection, question)
        return question.header.end_to_end_identifier

    def all(self, numbers: list[int]) -> list[dict[str, Any]]:
        with self.came:
            assert self.came.wait_for(lambda: self.answers.keys() >= set(numbers), 30), (
                "not all were answered"
            )
        return [_plain(self.answers.pop(number)) for number in numbers]


def _plain(answer: MeIdentityCheckAnswer) -> dict[str, Any]:
    experimental = answer.experimental_result
    return {
        "result": answer.result_code or (experimental and experimental.experimental_result_code),
        "status": answer.equipment_status,
        "state": answer.auth_session_state,
    }


def main(port: str, host: str, eir: str, realm: str) -> None:
    node = Node(host, realm)
    node.wakeup_interval = 1
    peer = node.add_peer(f"aaa://{eir}:{port}", realm, ip_addresses=["127.0.0.1"], is_persistent=True)
    mme = Mme()
    node.add_application(mme, [peer])
    node.start()
    print(json.dumps(mme.is_ready.wait(4)), flush=True)
    for line in sys.stdin:
        numbers = [mme.ask(realm, imei, version) for imei, version in json.loads(line)]
        print(json.dumps(mme.all(numbers)), flush=True)
    node.stop(wait_timeout=3)


if __name__ == "__main__":
    main(*sys.argv[1:])
