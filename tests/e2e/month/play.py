"""The month of carts as a command: `python tests/e2e/month/play.py --carts 10000 --days 31 --seed 1`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from support.month.play import main

    sys.exit(main())
