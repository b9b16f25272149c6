"""The long crash loop as a command: `python tests/e2e/crash/loop.py --recipients 15000 --kills 50 --seed 1`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from support.crash.loop import main

    sys.exit(main())
