"""Run the program with a clock that jumps: `python -m support.faults.leaping_clock CLOCK SECONDS FILE run …`.

The clock jumps forward by SECONDS once FILE exists. CLOCK is `wall`, as if the time was set by hand or by NTP, or
`asleep`, as if the machine was suspended: all clocks go on, except the one that counts only the time awake.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from campaign.cli import main as campaign_main


def leap(clock: str, seconds: float, file: Path) -> None:
    """Make the clock jump once the file exists."""
    wall, reading = time.time, time.clock_gettime

    def leapt() -> float:
        return seconds if file.exists() else 0.0

    def clock_gettime(number: int) -> float:
        return reading(number) + (leapt() if number == time.CLOCK_BOOTTIME else 0.0)

    time.time = lambda: wall() + leapt()
    if clock == "asleep":
        time.clock_gettime = clock_gettime


def main() -> None:
    """Take the first three arguments, and run the program with the others."""
    clock, seconds, file = (sys.argv.pop(1) for _ in range(3))
    leap(clock, float(seconds), Path(file))
    campaign_main()


if __name__ == "__main__":
    main()
