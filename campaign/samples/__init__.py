"""Write a working folder of one of the sample campaigns in `templates/`: `write_sample`."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.config.definition.rules import campaign_name
from campaign.errors import CannotStartError
from campaign.samples.fresh_times import fresh

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

__all__ = ["CAMPAIGN_FILE", "SAMPLES", "Sample", "write_sample"]

#: The name of the campaign file in the folder.
CAMPAIGN_FILE = "campaign.toml"


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample campaign."""

    #: Its folder in `templates/`.
    folder: str
    #: Its CSV in `recipients/`.
    csv: str
    #: When the times in the CSV are the present.
    made: datetime
    #: The options of `campaign run` that show in the sandbox what the sample is for.
    options: str = ""


#: The samples by the name that `--like` takes.
SAMPLES: Mapping[str, Sample] = {
    "waitlist": Sample("waitlist-welcome", "waitlist.csv", datetime(2026, 5, 4, 8, 0, tzinfo=UTC), "--limit 5"),
    "cart": Sample("abandoned-cart", "carts.csv", datetime(2026, 5, 16, 9, 45, tzinfo=UTC), "--speed 7200x"),
    "promotion": Sample("promotion", "customers.csv", datetime(2026, 5, 18, 8, 0, tzinfo=UTC), "--speed 3600x"),
    "survey": Sample("survey", "members.csv", datetime(2026, 5, 18, 8, 0, tzinfo=UTC)),
}


def write_sample(folder: Path, sample: Sample, *, now: datetime) -> list[str]:
    """Write a folder with a campaign file, its templates and its CSV, completely or not at all.

    Args:
        folder: the folder, which must not exist; its name becomes the campaign's.
        sample: the sample to write.
        now: the present, with a zone, to which the times in the CSV are moved.

    Returns:
        The names of the files, the campaign file first and the CSV last.

    Raises:
        CannotStartError: the folder or a file of its name exists, its name is not one for a campaign, or it cannot be
            written.
    """
    try:
        if os.path.lexists(folder):
            raise CannotStartError(f"{folder} exists and was not changed; name another folder")
        name = _name(folder)
        if not folder.parent.is_dir():
            raise CannotStartError(f"the folder {folder.parent} does not exist; create it, or name another folder")
        with tempfile.TemporaryDirectory(prefix=".campaign-", dir=folder.parent) as place:
            new = Path(place) / name
            new.mkdir()
            files = _fill(new, sample, name=name, file=folder / CAMPAIGN_FILE, now=now)
            new.rename(folder)
    except OSError as error:
        raise CannotStartError(f"{folder} cannot be written: {error.strerror}; name another folder") from error
    return files


def _fill(folder: Path, sample: Sample, *, name: str, file: Path, now: datetime) -> list[str]:
    """Write the files into a new folder, and return their names; `file` is the campaign file's path as it will be."""
    source = _source()
    campaign = (source / "templates" / sample.folder / CAMPAIGN_FILE).read_text("utf-8")
    (folder / CAMPAIGN_FILE).write_text(_campaign(campaign, sample, name=name, file=file), "utf-8")
    parts = [part for part in (source / "templates" / sample.folder).iterdir() if part.name != CAMPAIGN_FILE]
    for part in parts:
        (folder / part.name).write_bytes(part.read_bytes())
    people = (source / "recipients" / sample.csv).read_text("utf-8")
    (folder / sample.csv).touch(mode=0o600)  # where people's addresses will be
    (folder / sample.csv).write_text(fresh(people, made=sample.made, now=now), "utf-8")
    return [CAMPAIGN_FILE, *sorted(part.name for part in parts), sample.csv]


def _campaign(text: str, sample: Sample, *, name: str, file: Path) -> str:
    """Return the campaign file as it stands in a folder of its own."""
    description, _, rest = text.partition("\n#\n")
    body = rest[rest.index("\nname = ") :]
    body = re.sub(r'(?<=^name = ")[^"]*', name, body, count=1, flags=re.MULTILINE)
    body = body.replace('"../../recipients/', '"')
    run = f"campaign run {shlex.quote(str(file))} {sample.options}".rstrip()
    run = "".join(letter if letter.isprintable() else " " for letter in run)  # it must stay one line
    return f"{description}\n#\n# To see it in the sandbox:\n#\n#   {run}\n#   campaign sandbox{body}"


def _name(folder: Path) -> str:
    """Return the folder's name, if a campaign can have it."""
    try:
        return campaign_name(folder.name)
    except ValueError as error:
        raise CannotStartError(f"the folder's name becomes the campaign's, and {folder.name!r} {error}") from None


def _source() -> Path | Traversable:
    """Return the folder of `templates/` and `recipients/`: in the installed package, or else the checkout."""
    package = resources.files("campaign")
    installed = package / "sample_campaigns"
    return installed if installed.is_dir() else Path(str(package)).parent
