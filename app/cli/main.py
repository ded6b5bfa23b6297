"""The command `imei-gateway`: which commands there are, and how each run of one ends.

Commands are loaded when they are called, so that a question for help answers at once.
"""

from __future__ import annotations

import importlib
import sys

import rich_click as click

from app.cli import failures, options

click.rich_click.TEXT_PARAGRAPH_LINEBREAKS = "\n\n"
click.rich_click.PADDING_HELPTEXT_FIRST_LINE = (0, 0, 1, 0)
click.rich_click.MAX_WIDTH = 100

# Name → where its command stands, and its caption in the list of commands.
_COMMANDS = {
    "up": ("app.cli.serving:up", "Start everything: database, API and worker."),
    "serve": ("app.cli.serving:serve", "Start the API alone."),
    "work": ("app.cli.serving:work", "Start the worker alone: it tells the partners."),
    "s13": ("app.cli.s13:s13", "Answer 4G and 3G cores that ask by Diameter (S13)."),
    "rule": ("app.cli.rules:rule", "How many people it takes to decide."),
    "proposal": ("app.cli.proposals:proposal", "What waits for others to approve it."),
    "migrate": ("app.cli.serving:migrate", "Bring the database up to this release."),
    "demo": ("app.demo.command:demo", "See a theft from goods-in to the last partner."),
    "register": ("app.cli.goods:register", "Register the devices of a goods-in file."),
    "receipt": ("app.cli.receipt:receipt", "Show what a goods-in file came to."),
    "receipts": ("app.cli.receipt:list_", "List receipts."),
    "mapping": ("app.cli.mapping:mapping", "List, show and remove mappings of columns."),
    "device": ("app.cli.device:device", "Show devices, and where they stood."),
    "pallet": ("app.cli.pallet:pallet", "Show what a pallet holds, and what is missing on it."),
    "move": ("app.cli.pallet:move", "Move devices to another pallet."),
    "tac": ("app.cli.tac:tac", "Import a TAC database: brands and models."),
    "status": ("app.cli.status:status", "Ask what carriers would be told about IMEIs."),
    "blocklist": ("app.cli.blocklist:blocklist", "Download and follow the block list; check IMEIs offline."),
    "declare": ("app.cli.declare:declare", "Declare devices stolen; a second person approves."),
    "submit": ("app.cli.incidents:submit", "Submit a draft for approval."),
    "approve": ("app.cli.incidents:approve", "Approve an incident, as the second person: block it all."),
    "break-glass": ("app.cli.incidents:break_glass", "Block at once, alone, as an emergency."),
    "review": ("app.cli.incidents:review", "Say whether an emergency was one."),
    "reject": ("app.cli.incidents:reject", "Reject an incident, as the second person."),
    "withdraw": ("app.cli.incidents:withdraw", "Take a whole incident back, at once."),
    "lift": ("app.cli.incidents:lift", "Release devices that were found."),
    "watch": ("app.cli.watch:watch", "Watch the partners being told, live."),
    "incident": ("app.cli.incident:incident", "Show one incident and where each partner stands."),
    "incidents": ("app.cli.incident:incidents", "List incidents."),
    "golden": ("app.cli.golden:golden", "List, add and remove what is never blocked."),
    "sold": ("app.cli.privacy:sold", "Tell what was sold to customers, or came back."),
    "held": ("app.cli.privacy:held", "Export all that is held on one device."),
    "erase": ("app.cli.privacy:erase", "Forget whose sold devices are."),
    "sightings": ("app.cli.sightings:sightings", "Who asked about stolen devices, and about stock."),
    "alerts": ("app.cli.sightings:alerts", "What a person should look at now."),
    "partner": ("app.cli.partners:partner", "Add, try, list, pause and resume partners."),
    "adapter": ("app.cli.adapters:adapter", "List and show adapters; begin one of your own."),
    "secrets": ("app.cli.secret_keys:secrets", "Seal partners' secrets with another key."),
    "sandbox": ("app.cli.practice:sandbox", "Start practice partners to play with."),
    "key": ("app.cli.keys:key", "Create, list, limit and revoke API keys."),
    "person": ("app.cli.people:person", "Add, invite, list, change and end people."),
    "audit": ("app.cli.audit:audit", "Verify the audit log, and prove its entries."),
    "evidence": ("app.cli.evidence:evidence", "Make evidence packs, and check them offline."),
    "witness": ("app.cli.witness:witness", "Watch another gateway's audit log, and sign it."),
}


class _Commands(click.RichGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A stand-in, which is enough for the list of commands; `resolve_command` brings the real one."""
        _, caption = _COMMANDS.get(cmd_name, ("", ""))
        return click.RichCommand(name=cmd_name, help=caption) if caption else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, found, rest = super().resolve_command(ctx, args)
        return name, _loaded(name) if name and found else found, rest


def _loaded(name: str) -> click.Command:
    module, _, attribute = _COMMANDS[name][0].partition(":")
    command: click.Command = getattr(importlib.import_module(module), attribute)
    return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="imei-gateway", prog_name="imei-gateway")
@options.acting
def cli() -> None:
    """A registry of devices, and a gateway that tells partners which stolen ones to block.

    With --json, results are JSON on standard output and errors are problem documents (RFC 9457) on standard
    error. up, serve, work, s13 and sandbox run until they are told to end, and then exit with 0.

    \b
    To see what it does
      $ imei-gateway demo
    For real
      $ imei-gateway up
      $ imei-gateway register goods-in.csv
      $ imei-gateway declare --title "Paris 22 December" --pallets stolen.txt
    Exit codes
      0    it was done
      1    an error; the sentence on standard error says what would be right
      2    the command was written wrongly
      3    register, tac import, erase: some were rejected or kept, the others are done; evidence verify: nobody vouches
      4    watch: partners were not done within --timeout
      5    audit verify, evidence verify: the log, or the pack, has a fault
      6    not allowed: the key is unknown, or may not do this
      7    nothing is done yet: others must approve it first ('proposal list')
      130  interrupted with Ctrl-C
    """


def main() -> None:
    """The entry point. A command returns its exit code, or None for 0."""
    sys.exit(failures.told(lambda: cli.main(prog_name="imei-gateway", standalone_mode=False), sys.argv))


if __name__ == "__main__":
    main()
