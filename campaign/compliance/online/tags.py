"""Read the `tag=value;` lists of DKIM and DMARC records: `parse_tags`."""

from __future__ import annotations

from campaign.words import printable


def parse_tags(record: str) -> tuple[dict[str, str], list[str]]:
    """Return the tags of a record (RFC 6376 §3.2) in their order, and what is malformed, as clauses.

    Names are in lower case. A part that is not `tag=value` is left out, and of a tag that occurs twice the first holds.
    """
    tags: dict[str, str] = {}
    faults = []
    for part in filter(str.strip, record.split(";")):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not equals or not name:
            faults.append(f"{printable(part)[:40]!r} is not tag=value")
        elif name in tags:
            faults.append(f"{printable(name)[:40]} occurs twice")
        else:
            tags[name] = value.strip()
    return tags, faults
