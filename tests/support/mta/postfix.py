"""Run a real Postfix in a folder of its own, on a loopback port: `Postfix`."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support.mta.programs import daemon, free_port, needed, needs_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Who owns the mailboxes: nobody.
_OWNER = 65534
_PATIENCE_S = 60
_MAIN = """
compatibility_level = 3.6
config_directory = {folder}/etc
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log/mail.log
maillog_file_prefixes = {folder}
myhostname = mx.receiver.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
smtputf8_enable = no
recipient_delimiter = +
# It accepts mail for an unknown mailbox and returns it later, as a relay does that learns of it from the next server.
smtpd_reject_unlisted_recipient = no
smtpd_relay_restrictions = permit_auth_destination, reject
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {folder}/boxes
virtual_mailbox_maps = texthash:{folder}/etc/boxes
virtual_uid_maps = static:{owner}
virtual_gid_maps = static:{owner}
virtual_minimum_uid = 100
smtpd_milters = {milter}
milter_default_action = tempfail
"""
_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """A Postfix that keeps the mail of some addresses in Maildirs, and returns that of all others in its domains."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        #: On 127.0.0.1.
        self.port = port

    @property
    def url(self) -> str:
        """The value for CAMPAIGN_SMTP_URL."""
        return f"smtp://127.0.0.1:{self.port}?tls=none"

    def box(self, address: str) -> Path:
        """Return the Maildir of an address."""
        return self._folder / "boxes" / address

    def mails(self, address: str) -> list[bytes]:
        """Return the mails in the Maildir of an address."""
        return [path.read_bytes() for path in sorted(self.box(address).glob("new/*"))]

    def wait_for(self, seen: Callable[[], object]) -> None:
        """Wait until mail has come."""
        until = time.monotonic() + _PATIENCE_S
        while not seen():
            assert time.monotonic() < until, (self._folder / "log/mail.log").read_text("utf-8", "replace")[-5000:]
            time.sleep(0.1)  # noqa: TID251 - a process lives in the real time


@contextmanager
def postfix(addresses: list[str], *, unknown: list[str], milter: str = "") -> Iterator[Postfix]:
    """Yield a running Postfix.

    Args:
        addresses: those with a mailbox.
        unknown: addresses without one, whose domains it takes mail for.
        milter: checks each mail when it comes in, as `inet:127.0.0.1:port`.
    """
    master = needed("master", "postfix")
    setup = needed("postfix", "postfix")
    needs_root("Postfix's master changes to the user postfix")
    # pytest's folders are closed to the user postfix
    folder = Path(tempfile.mkdtemp(prefix="postfix-"))
    try:
        folder.chmod(0o755)
        for name in ("etc", "queue", "data", "log", "boxes"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        shutil.chown(folder / "boxes", _OWNER, _OWNER)
        port, domains = free_port(), {each.rpartition("@")[2] for each in [*addresses, *unknown]}
        values = {"folder": folder, "domains": ", ".join(sorted(domains)), "owner": _OWNER, "milter": milter}
        (folder / "etc/main.cf").write_text(_MAIN.format(**values), "utf-8")
        (folder / "etc/master.cf").write_text(_MASTER.format(port=port), "utf-8")
        (folder / "etc/boxes").write_text("".join(f"{each} {each}/\n" for each in addresses), "utf-8")
        done = subprocess.run([setup, "-c", folder / "etc", "check"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with daemon([master, "-c", str(folder / "etc"), "-d"], port, folder / "log/master"):
            yield Postfix(folder, port)
    finally:
        shutil.rmtree(folder)
