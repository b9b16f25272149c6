"""Show what a run logs on stderr, as lines of text or of JSON: `show_logs`."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

#: The attributes that every record has; all others are fields of its event.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time` (ISO 8601, UTC), `level`, `logger`, `message`, and the fields of the event."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line."""
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {"time": at, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        return json.dumps(told | fields, default=str)


def show_logs(*, verbose: int, form: str) -> None:
    """Write the log to stderr.

    Args:
        verbose: 1 shows the run's events, 2 or more each attempt, too.
        form: `text` or `json`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter() if form == "json" else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    logger = logging.getLogger("campaign")
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
