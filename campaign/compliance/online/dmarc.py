"""Find the DMARC policy and the organisation of a domain by the tree walk of RFC 9989: `walk`, `review_dmarc`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from campaign.compliance.finding import not_checked, passed, problem, warning
from campaign.compliance.online.lookup import NoAnswerError
from campaign.compliance.online.tags import parse_tags
from campaign.words import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from campaign.compliance.finding import Finding
    from campaign.compliance.online.lookup import Dns

#: RFC 9989 §4.10: a walk asks for at most eight names.
_MAX_QUERIES = 8
#: RFC 9989 §4.7: `v` is the first tag, and its value is case-sensitive.
_IS_DMARC = re.compile(r"\s*[vV]\s*=\s*DMARC1\s*(?:;|\Z)")
_POLICIES = frozenset({"none", "quarantine", "reject"})
#: Tags of RFC 7489 that RFC 9989 does not have.
_REMOVED = ("pct", "rf", "ri")
_ASKED_BY = "RFC 9989 §4.10; Google, Yahoo and Microsoft"


@dataclass(slots=True)
class Walk:
    """What the tree walk from one domain found."""

    start: str
    #: The records by domain, in the order of the walk.
    records: dict[str, Mapping[str, str]] = field(default_factory=dict)
    #: Domains with several records, which are all ignored, and the number of them.
    ambiguous: dict[str, int] = field(default_factory=dict)
    #: What is malformed in a domain's record; receivers leave that out.
    malformed: dict[str, list[str]] = field(default_factory=dict)

    @property
    def organisation(self) -> str:
        """The Organizational Domain (RFC 9989 §4.10.2)."""
        for domain, tags in self.records.items():
            psd = tags.get("psd", "u").lower()
            if psd == "n":
                return domain
            if psd == "y" and domain != self.start:
                labels = self.start.split(".")
                return ".".join(labels[-domain.count(".") - 2 :])
        return min(self.records, key=lambda domain: domain.count("."), default=self.start)

    @property
    def policy_domain(self) -> str | None:
        """The domain whose record holds for the start (RFC 9989 §4.10.1); None if there is none."""
        candidates = [self.start, self.organisation]
        candidates += [domain for domain, tags in self.records.items() if tags.get("psd", "").lower() == "y"]
        return next((domain for domain in candidates if domain in self.records), None)


async def walk(dns: Dns, domain: str) -> Walk:
    """Return the DMARC records from a domain up to its top-level domain (RFC 9989 §4.10).

    Raises:
        NoAnswerError: the DNS gave no answer for one of the names.
    """
    found = Walk(domain)
    for name in _names(domain):
        records = [text for text in await dns.txt(f"_dmarc.{name}") if _IS_DMARC.match(text)]
        if len(records) > 1:
            found.ambiguous[name] = len(records)
        if len(records) != 1:
            continue
        tags, found.malformed[name] = parse_tags(records[0])
        found.records[name] = tags
        if tags.get("psd", "").lower() in {"y", "n"}:
            break
    return found


async def review_dmarc(dns: Dns, sender: str, signing: str | None, envelope: str) -> list[Finding]:
    """Return what is to be said about From's policy, and whether DKIM and SPF align with From.

    Args:
        dns: the resolver.
        sender: From's domain.
        signing: the domain of `[dkim]`; None if the mails are not signed here.
        envelope: the domain of the envelope sender.
    """
    try:
        found = await walk(dns, sender)
    except NoAnswerError as error:
        advice = "try again later, or name another --resolver"
        return [not_checked(f"DMARC of {sender}: {error}", "RFC 9989 §4.10", advice)]
    domain = found.policy_domain
    tags = found.records.get(domain, {}) if domain else {}
    return [
        *_policy(found, domain, tags),
        await _alignment(dns, found, "DKIM", signing, strict=tags.get("adkim", "r").lower() == "s"),
        await _alignment(dns, found, "SPF", envelope, strict=tags.get("aspf", "r").lower() == "s"),
    ]


def _policy(found: Walk, domain: str | None, tags: Mapping[str, str]) -> Iterator[Finding]:
    name = f"DMARC of {found.start}"
    start = f"_dmarc.{found.start}"
    for place, number in found.ambiguous.items():
        report = problem if place == found.start or domain is None else warning
        text = f"{name}: there are {number} records at _dmarc.{place}, and receivers ignore them all"
        yield report(text, "RFC 9989 §4.10", "remove all but one")
    if domain is None:
        if found.start not in found.ambiguous:
            advice = f'publish a TXT record at {start}, such as "v=DMARC1; p=none; rua=mailto:dmarc@{found.start}"'
            yield problem(f"{name}: there is no record", _ASKED_BY, advice)
        return
    where = f"_dmarc.{domain}"
    for fault in found.malformed[domain]:
        yield warning(f"{name}: in the record at {where} {fault}", "RFC 9989 §4.7", "correct it")
    inherited = domain != found.start
    tag = "sp" if inherited and "sp" in tags else "p"
    policy = tags.get(tag, "none").lower()
    if policy not in _POLICIES:
        yield problem(
            f"{name}: {tag}={printable(policy)[:40]} at {where} is no policy",
            "RFC 9989 §4.7",
            "write none, quarantine or reject",
        )
        return
    if tag not in tags:
        yield warning(
            f"{name}: the record at {where} has no p, which counts as none, but as an error by RFC 7489",
            "RFC 9989 §4.7",
            "write p=none",
        )
    yield from _outdated(name, where, tags)
    yield passed(f"{name}: {tag}={policy} at {where}", _ASKED_BY)


def _outdated(name: str, where: str, tags: Mapping[str, str]) -> Iterator[Finding]:
    for tag in _REMOVED:
        if tag in tags:
            instead = "; for a trial write t=y" if tag == "pct" else ""
            yield warning(
                f"{name}: {tag}={printable(tags[tag])[:20]} at {where} is ignored: the policy holds for all mail"
                if tag == "pct"
                else f"{name}: {tag} at {where} is ignored",
                "RFC 9989, appendix C",
                f"remove {tag}{instead}",
            )
    if tags.get("t", "n").lower() == "y":
        yield warning(
            f"{name}: t=y at {where} says that the policy is a trial, so receivers apply the next weaker one",
            "RFC 9989 §4.7",
            "remove t=y after the trial",
        )


async def _alignment(dns: Dns, sender: Walk, what: str, domain: str | None, *, strict: bool) -> Finding:
    rule = "RFC 9989 §4.4"
    if domain is None:
        text = "Alignment of DKIM: the mails are not signed here, so the domain of the signature is not known"
        return not_checked(text, rule, "send a test mail, and look for dmarc=pass in Authentication-Results")
    name = f"Alignment of {what}: {domain} with {sender.start} of From"
    if domain == sender.start:
        keeps = ", if the mail server keeps the envelope sender" if what == "SPF" else ""
        return passed(f"{name}: the same domain{keeps}", rule)
    if strict:
        tag = "adkim" if what == "DKIM" else "aspf"
        advice = f"take {sender.start}, or remove {tag}=s from the DMARC record"
        return problem(f"{name}: {tag}=s asks for the same domain", rule, advice)
    try:
        other = (await walk(dns, domain)).organisation
    except NoAnswerError as error:
        return not_checked(f"{name}: {error}", rule, "try again later, or name another --resolver")
    if other == sender.organisation:
        return passed(f"{name}: the same organisation, {other}", rule)
    text = f"{name}: the organisations differ, {other} and {sender.organisation}"
    return problem(
        text, "RFC 9989 §4.4, §4.10.2", f"take {sender.start}, or publish a DMARC record for the domain above both"
    )


def _names(domain: str) -> Iterator[str]:
    """Yield the names of the walk: the domain, then its parents, of a long name only the last seven labels."""
    labels = domain.split(".")
    yield domain
    parents = labels[1:] if len(labels) < _MAX_QUERIES else labels[-_MAX_QUERIES + 1 :]
    while parents:
        yield ".".join(parents)
        parents = parents[1:]
