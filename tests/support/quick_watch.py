"""Run `campaign watch` with a tenth of its own waits for files and logs: `python -m support.quick_watch watch …`.

How long it waits is the unit tests' matter; the others look at what it does then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from campaign.cli import main as campaign_main
from campaign.watching import engine, exposition, file_watch, lookout

if TYPE_CHECKING:
    from types import ModuleType

_TENTH = 0.1
#: The waits in seconds, by module. A CSV whose last line has no end is waited for as long as ever.
_WAITS: dict[ModuleType, tuple[str, ...]] = {
    exposition: ("MAX_AGE_S",),
    file_watch: ("SETTLED_S", "QUIET_S"),
    lookout: ("_LOOK_EVERY_S", "_QUEUE_EVERY_S", "_AWAY_EVERY_S"),
}


def main() -> None:
    """Shorten the waits, and run the program."""
    for module, names in _WAITS.items():
        values: dict[str, Any] = vars(module)
        values.update({name: values[name] * _TENTH for name in names})
    policy = engine._LOG_POLICY  # noqa: SLF001 - the pause before a log is opened anew
    vars(engine)["_LOG_POLICY"] = replace(policy, first_delay=policy.first_delay * _TENTH)
    campaign_main()


if __name__ == "__main__":
    main()
