"""Run a real opendkim as a milter that verifies signatures, with public keys from a file: `opendkim`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.mta.programs import daemon, free_port, needed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: The authserv-id (RFC 8601 §2.5) of what it writes.
AUTHSERV_ID = "mx.receiver.example"
_CONFIG = """
Mode                v
Socket              inet:{port}@127.0.0.1
TestPublicKeys      {keys}
AuthservID          {authserv_id}
AlwaysAddARHeader   yes
Syslog              no
# what is not signed, or badly, is refused at the final dot
On-BadSignature     reject
On-KeyNotFound      reject
On-NoSignature      reject
On-DNSError         reject
"""


@contextmanager
def opendkim(folder: Path, records: Mapping[str, str]) -> Iterator[str]:
    """Yield the milter, as Postfix names it; what it verifies gets an Authentication-Results header (RFC 8601).

    Args:
        folder: for its files.
        records: the TXT record of each domain with a key.
    """
    program = needed("opendkim", "opendkim")
    keys, config, port = folder / "keys", folder / "opendkim.conf", free_port()
    keys.write_text("".join(f"{name} {record}\n" for name, record in records.items()), "utf-8")
    config.write_text(_CONFIG.format(port=port, keys=keys, authserv_id=AUTHSERV_ID), "utf-8")
    with daemon([program, "-f", "-x", str(config)], port, folder / "opendkim.log"):
        yield f"inet:127.0.0.1:{port}"
