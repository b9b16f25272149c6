"""Hold sender and signing key against the providers' rules, without asking the DNS: `review_sender`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.compliance.finding import place_of, problem, warning
from campaign.compliance.free_mail import is_free_mail
from campaign.message.mime.headers import split_mailbox

if TYPE_CHECKING:
    from campaign.compliance.finding import Finding
    from campaign.config.definition import Definition
    from campaign.message.dkim.key import SigningKey


def domain_of(mailbox: str) -> str:
    """Return the domain of a mailbox of the campaign file, in lower case."""
    return split_mailbox(mailbox)[1].rpartition("@")[2].lower()


def envelope_domain(definition: Definition) -> str:
    """Return the domain of the envelope sender (MAIL FROM), which SPF is about."""
    return domain_of(definition.email.bounces or definition.email.sender)


def review_sender(definition: Definition, key: SigningKey | None) -> list[Finding]:
    """Return what is wrong with From, Reply-To and the signing key.

    Whether the domain of `[dkim]` aligns with From is a rule of the campaign file itself (`rules.aligned`).

    Args:
        definition: the campaign file.
        key: the key that signs the mails; None if they are not signed here.
    """
    found: list[Finding] = []
    email = definition.email
    sender = domain_of(email.sender)
    if is_free_mail(sender):
        found.append(
            problem(
                f"[email] from: {sender} is a free-mail domain, whose DMARC policy tells receivers to refuse mail of"
                " other servers",
                "Google and Yahoo, sender guidelines",
                "send from a domain of your own",
                place_of(definition, "email", "from"),
            )
        )
    elif email.reply_to is not None and is_free_mail(reply := domain_of(email.reply_to)):
        found.append(
            warning(
                f"[email] reply_to: {reply} is a free-mail domain and From is not, which spam filters count against it",
                "SpamAssassin, FREEMAIL_FORGED_REPLYTO",
                f"take an address at {sender}",
                place_of(definition, "email", "reply_to"),
            )
        )
    if definition.unsubscribe is None:
        found.append(
            warning(
                "the mails have no unsubscribe link, which mail providers ask bulk senders for",
                "Google, Yahoo and Microsoft, sender guidelines; RFC 8058",
                'add [unsubscribe] with url = "https://mail.acme.example/u", or with none = "transactional"',
                str(definition.path),
            )
        )
    if key is not None and key.kind == "ed25519":
        found.append(
            warning(
                "[dkim]: the mails have an Ed25519 signature alone; Gmail and other receivers do not verify it, and"
                " the mail is unsigned for them",
                "RFC 8463",
                "sign with an RSA key: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out dkim.pem",
                place_of(definition, "dkim"),
            )
        )
    return found
