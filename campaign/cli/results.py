"""`campaign results`: show who of the mailed signed in since."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - click looks at the annotations of its callbacks

import click

from campaign.cli.group import FILE, SANDBOX, awaited, commands, loaded, say


@commands.command()
@FILE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@SANDBOX
def results(file: Path, *, as_json: bool, sandbox: bool) -> None:
    """Show who of the mailed signed in since, as Clerk says.

    It asks Clerk when they signed in last, 100 users a call, and changes nothing there: no link is revoked. The send
    log remembers the answers, for the next time and for `campaign report`. It may be called beside a run.
    """
    import json  # noqa: PLC0415

    from campaign.reporting.results import results_lines, results_object  # noqa: PLC0415
    from campaign.results import ask_clerk, results_of  # noqa: PLC0415

    definition, settings = loaded(file)
    awaited(ask_clerk(definition, settings, sandbox=sandbox))
    found = results_of(definition, settings, sandbox=sandbox)
    if as_json:
        say([json.dumps(results_object(found), ensure_ascii=False)], data=True)
    else:
        say(results_lines(found))
