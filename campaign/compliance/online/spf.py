"""Check a domain's SPF record (RFC 7208): `review_spf`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from campaign.compliance.finding import not_checked, passed, problem, warning
from campaign.compliance.online.lookup import NoAnswerError
from campaign.words import printable

if TYPE_CHECKING:
    from campaign.compliance.finding import Finding
    from campaign.compliance.online.lookup import Dns

#: RFC 7208 §4.6.4: terms that ask the DNS, in the record and all that it includes.
_MAX_LOOKUPS = 10
#: The same: questions of these terms that find nothing.
_MAX_VOID = 2
_IS_SPF = re.compile(r"v=spf1(?: |\Z)", re.IGNORECASE)
_DIRECTIVE = re.compile(
    r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?::([^/]*))?((?:/\d{1,3})?(?://\d{1,3})?)\Z", re.IGNORECASE
)
_NETWORK = re.compile(r"([+?~-]?)(ip4|ip6):(\S+)\Z", re.IGNORECASE)
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(\S*)\Z", re.IGNORECASE)
#: RFC 7208 §7.1: visible ASCII that ends in a label or a macro.
_DOMAIN = re.compile(r"[!-~]*[A-Za-z0-9}]\.?")
_NEEDS_DOMAIN = frozenset({"include", "exists"})
_ASKS = frozenset({"include", "a", "mx", "ptr", "exists"})


class _PermanentSpfError(Exception):
    """Receivers answer permerror; the text is a clause."""


@dataclass(slots=True)
class _Evaluation:
    """What was seen of a record and of all that it includes."""

    lookups: int = 0
    void: int = 0
    uses_ptr: bool = False
    #: Domains with a macro, which depend on the message (RFC 7208 §7).
    macros: list[str] = field(default_factory=list)
    #: The qualifier of the record's own `all`; None if it has neither `all` nor `redirect`.
    ending: str | None = None


async def review_spf(dns: Dns, domain: str) -> list[Finding]:
    """Return what is to be said about the SPF record of the envelope sender's domain.

    Whether it lists the addresses that the mail server sends from cannot be seen from here.
    """
    name = f"SPF of {domain}"
    advice = f'publish one TXT record at {domain} with what your mail provider names, such as "v=spf1 include:… ~all"'
    seen = _Evaluation()
    try:
        records = [text for text in await dns.txt(domain) if _IS_SPF.match(text)]
        if not records:
            return [problem(f"{name}: there is no record", "RFC 7208 §4.5; Google, Yahoo and Microsoft", advice)]
        if len(records) > 1:
            return [
                problem(
                    f"{name}: there are {len(records)} records, which receivers take for an error",
                    "RFC 7208 §4.5",
                    "merge them into one",
                )
            ]
        await _evaluate(dns, domain, records[0], seen, (domain,))
    except NoAnswerError as error:
        return [not_checked(f"{name}: {error}", "RFC 7208 §4.4", "try again later, or name another --resolver")]
    except _PermanentSpfError as error:
        return [problem(f"{name}: {error}", "RFC 7208 §4.6", "correct the record; receivers take this for an error")]
    return [*_warnings(name, seen), *_count(name, seen)]


def _count(name: str, seen: _Evaluation) -> list[Finding]:
    rule = "RFC 7208 §4.6.4"
    if seen.void > _MAX_VOID:
        text = f"{name}: {seen.void} of its lookups find nothing, and receivers take more than {_MAX_VOID} for an error"
        return [problem(text, rule, "remove the terms whose domains are gone")]
    if seen.macros:
        return [
            not_checked(
                f"{name}: {', '.join(seen.macros)} depends on the message, so its lookups cannot be counted; the others"
                f" are {seen.lookups} of at most {_MAX_LOOKUPS}",
                rule,
            )
        ]
    return [passed(f"{name}: one record with {seen.lookups} of at most {_MAX_LOOKUPS} lookups", rule)]


def _warnings(name: str, seen: _Evaluation) -> list[Finding]:
    found = []
    if seen.ending == "+":
        found.append(
            problem(
                f"{name}: it ends with +all, so every server may send for it", "RFC 7208 §5.1", "write ~all or -all"
            )
        )
    elif seen.ending in {"?", None}:
        what = "it ends with ?all" if seen.ending else "it ends without all"
        found.append(
            warning(f"{name}: {what}, so it forbids nobody", "RFC 7208 §5.1, §4.7", "end it with ~all or -all")
        )
    if seen.uses_ptr:
        found.append(warning(f"{name}: it uses ptr, which receivers may skip", "RFC 7208 §5.5", "remove it"))
    return found


async def _evaluate(dns: Dns, domain: str, record: str, seen: _Evaluation, path: tuple[str, ...]) -> None:
    """Walk through a record and all that it includes, as a receiver does in the worst case: no address matches.

    Raises:
        _PermanentSpfError: a receiver would end with permerror.
        NoAnswerError: the DNS gave no answer.
    """
    ending, redirect = None, None
    for term in record.split(" ")[1:]:
        if not term:
            continue
        qualifier, name, target = _parsed(term, domain)
        if name == "all":
            ending = ending or qualifier or "+"
        elif name == "redirect":
            redirect = target
        elif name in _ASKS and ending is None:  # RFC 7208 §5.1: what stands behind `all` is ignored
            await _follow(dns, name, target or domain, seen, path)
    if ending is None and redirect is not None:
        _note_lookup(seen)
        if len(path) == 1:
            seen.ending = await _ending_behind(dns, redirect, seen, path)
        else:
            await _include(dns, redirect, seen, path)
    elif len(path) == 1:
        seen.ending = ending


async def _ending_behind(dns: Dns, target: str, seen: _Evaluation, path: tuple[str, ...]) -> str | None:
    """Return the qualifier of `all` in the record that `redirect` names, after walking through it."""
    if "%" in target:
        seen.macros.append(f"redirect={printable(target)}")
        return "~"
    record = await _record_of(dns, target, path)
    inner = _Evaluation(lookups=seen.lookups, void=seen.void, macros=seen.macros)
    await _evaluate(dns, target, record, inner, (target,))
    seen.lookups, seen.void, seen.uses_ptr = inner.lookups, inner.void, seen.uses_ptr or inner.uses_ptr
    return inner.ending


async def _follow(dns: Dns, name: str, target: str, seen: _Evaluation, path: tuple[str, ...]) -> None:
    _note_lookup(seen)
    if name == "ptr":
        seen.uses_ptr = True
    elif "%" in target:
        seen.macros.append(f"{name}:{printable(target)}")
    elif name == "include":
        await _include(dns, target, seen, path)
    elif (name == "a" and not await dns.has_address(target)) or (name == "mx" and not await dns.mx(target)):
        seen.void += 1


async def _include(dns: Dns, target: str, seen: _Evaluation, path: tuple[str, ...]) -> None:
    if "%" in target:
        seen.macros.append(printable(target))
        return
    await _evaluate(dns, target, await _record_of(dns, target, path), seen, (*path, target))


async def _record_of(dns: Dns, target: str, path: tuple[str, ...]) -> str:
    if target in path:
        raise _PermanentSpfError(f"{printable(target)} includes itself")
    records = [text for text in await dns.txt(target) if _IS_SPF.match(text)]
    if len(records) != 1:
        count = "no SPF record" if not records else f"{len(records)} SPF records"
        raise _PermanentSpfError(f"{printable(target)}, which {path[-1]} includes, has {count}")
    return records[0]


def _note_lookup(seen: _Evaluation) -> None:
    seen.lookups += 1
    if seen.lookups > _MAX_LOOKUPS:
        raise _PermanentSpfError(f"it needs more than {_MAX_LOOKUPS} lookups (§4.6.4), counting what it includes")


def _parsed(term: str, domain: str) -> tuple[str, str, str]:
    """Return a term's qualifier, name and domain.

    Raises:
        _PermanentSpfError: the term is malformed, or an unknown mechanism (RFC 7208 §4.6.1).
    """
    wrong = _PermanentSpfError(f"{printable(term)[:80]!r} in the record of {domain} is no valid term")
    if network := _NETWORK.match(term):
        try:
            version = ipaddress.ip_network(network[3], strict=False).version
        except ValueError:
            raise wrong from None
        if version != int(network[2][2]):
            raise wrong
        return network[1], network[2].lower(), ""
    if found := _DIRECTIVE.match(term):
        name, target = found[2].lower(), (found[3] or "").rstrip(".").lower()
        plain = found[3] is None and not found[4]
        if found[3] and not _DOMAIN.fullmatch(found[3]):
            raise wrong
        if (name in _NEEDS_DOMAIN and not target) or (name == "all" and not plain) or found[3] == "":
            raise wrong
        if name in {"ip4", "ip6"} or (found[4] and name not in {"a", "mx"}):
            raise wrong
        return found[1], name, target
    if modifier := _MODIFIER.match(term):
        name, value = modifier[1].lower(), modifier[2].rstrip(".").lower()
        if name == "redirect" and not _DOMAIN.fullmatch(value):
            raise wrong
        return "", name, value
    raise wrong
