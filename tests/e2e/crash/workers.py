"""The crash loop of several workers as a command: `python tests/e2e/crash/workers.py --workers 3 --kills 50`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from support.crash.workers import main

    sys.exit(main())
