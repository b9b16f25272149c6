"""Validate and normalise an email address without DNS: `normalise_address`."""

from __future__ import annotations

import re
import unicodedata

#: RFC 5321 §4.5.3.1.3 with RFC 3696 erratum 1690: bytes of a whole address.
MAX_LENGTH = 254
#: Characters that one does not see: formats (such as the zero-width space), controls and blanks of other kinds.
_INVISIBLE = frozenset({"Cf", "Cc", "Zs", "Zl", "Zp"})
#: RFC 1035 §2.3.4, without the final dot: bytes of a domain name.
_MAX_DOMAIN_LENGTH = 253

# Nearly all addresses match this and skip the library, which takes 17 µs for each: a dot-atom (RFC 5322 §3.2.3)
# at a domain of at least two LDH labels (RFC 1123 §2.1), the last of which ends with a letter.
# A label with `--` in places 3 and 4 is Punycode or reserved (RFC 5890 §2.3.1): the library checks it.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"(?!..--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@((?:{_LABEL}\.)+{_LABEL}(?<=[A-Za-z])|localhost)")


def normalise_address(text: str) -> str:
    """Return the address with its domain in lower-case A-labels; the local part stays unchanged.

    Only the syntax is checked, so special-use domains (`.test`, `.local`, `localhost`) are valid.

    Raises:
        ValueError: the text is not exactly one plain mailbox; the message is a sentence.
    """
    found = _PLAIN.fullmatch(text)
    if found is not None and len(text) <= MAX_LENGTH and len(found[2]) <= _MAX_DOMAIN_LENGTH:
        return f"{found[1]}@{found[2].lower()}"
    return _judged_by_library(text)


def _judged_by_library(text: str) -> str:
    if not text:
        raise ValueError("The address is empty.")
    if any(mark in text for mark in '<>(),;:"\\ \t\r\n'):
        raise ValueError("This is not one plain address; write one address without a name, comment, quotes or spaces.")
    local, _, _ = text.rpartition("@")
    for place, character in enumerate(text):
        # RFC 5892 appendix A allows the zero-width joiners in some domain names
        joiner = character in "\u200c\u200d" and place > len(local)
        if unicodedata.category(character) in _INVISIBLE and not joiner:
            named = unicodedata.name(character, "a control character")
            raise ValueError(
                f"The address has an invisible character, U+{ord(character):04X} ({named}); delete it. Text that was "
                "copied from a page or a chat often has one."
            )
    if not local.isascii():
        raise ValueError("The part before the @ is not ASCII; sending to it needs SMTPUTF8, which is not supported.")
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 - 60 ms, seldom needed

    try:
        found = validate_email(text, allow_smtputf8=False, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None
    if "." not in found.ascii_domain:
        raise ValueError("The part after the @-sign is not valid. It should have a period.")
    return f"{local}@{found.ascii_domain.lower()}"


def normalise_domain(text: str) -> str:
    """Return a domain name in lower-case A-labels, by the same rules as the domain of an address.

    Raises:
        ValueError: the text is not a domain name; the message is a sentence.
    """
    return normalise_address(f"x@{text}")[2:]
