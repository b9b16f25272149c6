"""Compare the DKIM record in the DNS with the key that signs: `review_dkim`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.compliance.finding import not_checked, passed, problem, warning
from campaign.compliance.online.lookup import NoAnswerError
from campaign.compliance.online.tags import parse_tags
from campaign.words import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from campaign.compliance.finding import Finding
    from campaign.compliance.online.lookup import Dns
    from campaign.config.definition import DkimSection
    from campaign.message.dkim.key import SigningKey

_RULE = "RFC 6376 §3.6.1"
_PUBLISH = "publish the TXT record that is shown below"


async def review_dkim(dns: Dns, section: DkimSection | None, key: SigningKey | None) -> list[Finding]:
    """Return what is to be said about the record of the selector.

    Args:
        dns: the resolver.
        section: the signing domain and the selector; None if the mails are not signed here.
        key: the key that signs; None if there is none.
    """
    if section is None:
        return [
            not_checked(
                "DKIM: the campaign has no [dkim], so the mail server has to sign, and its selector is not known here",
                "Google, Yahoo and Microsoft, sender guidelines",
                "send a test mail, and look for dkim=pass with From's domain in Authentication-Results",
            )
        ]
    host = f"{section.selector}._domainkey.{section.domain}"
    name = f"DKIM at {host}"
    try:
        records = await dns.txt(host)
    except NoAnswerError as error:
        return [not_checked(f"{name}: {error}", "RFC 6376 §6.1.2", "try again later, or name another --resolver")]
    if not records:
        return [problem(f"{name}: there is no record, so no signature verifies", "RFC 6376 §6.1.2", _PUBLISH)]
    if len(records) > 1:
        return [
            problem(
                f"{name}: there are {len(records)} records, and a receiver may take any of them",
                "RFC 6376 §3.6.2.2",
                "remove all but one",
            )
        ]
    tags, faults = parse_tags(records[0])
    if faults:
        return [problem(f"{name}: the record is malformed, {faults[0]}", "RFC 6376 §3.2", _PUBLISH)]
    found = [finding for finding in (*_unusable(name, tags), *_key_differs(name, tags, key)) if finding]
    if "y" in _list(tags.get("t", "")):
        found.append(
            warning(
                f"{name}: t=y says that it is a test, and receivers may ignore it", _RULE, "remove t=y from the record"
            )
        )
    if key is None:
        found.append(not_checked(f"{name}: there is no key here to compare with", _RULE, "set CAMPAIGN_DKIM_KEY"))
    return found or [passed(f"{name}: the record has the key that signs", _RULE)]


def _unusable(name: str, tags: Mapping[str, str]) -> list[Finding]:
    """Return what makes receivers ignore the record, whatever its key is."""
    if tags.get("v", "DKIM1") != "DKIM1" or ("v" in tags and next(iter(tags)) != "v"):
        return [problem(f"{name}: it must begin with v=DKIM1", _RULE, _PUBLISH)]
    if "p" not in tags:
        return [problem(f"{name}: the record has no p=, the public key", _RULE, _PUBLISH)]
    if not tags["p"]:
        return [
            problem(f"{name}: p= is empty, so the key is revoked", _RULE, "choose a new selector and publish its key")
        ]
    found = []
    if "h" in tags and "sha256" not in _list(tags["h"]):
        found.append(problem(f"{name}: h= does not allow sha256, with which mails are signed", _RULE, "remove h="))
    if "s" in tags and not {"*", "email"} & _list(tags["s"]):
        found.append(problem(f"{name}: s= does not allow email", _RULE, "remove s="))
    return found


def _key_differs(name: str, tags: Mapping[str, str], key: SigningKey | None) -> list[Finding]:
    if key is None or not tags.get("p"):
        return []
    kind = tags.get("k", "rsa").lower()
    if kind != key.kind:
        said = "k=" + printable(kind) if "k" in tags else "without k= means rsa"
        return [problem(f"{name}: the record ({said}) is not for the key that signs, {key.kind}", _RULE, _PUBLISH)]
    if "".join(tags["p"].split()) != key.public:
        return [problem(f"{name}: p= is not the public key of CAMPAIGN_DKIM_KEY", _RULE, _PUBLISH)]
    return []


def _list(value: str) -> set[str]:
    return {part.strip().lower() for part in value.split(":")}
