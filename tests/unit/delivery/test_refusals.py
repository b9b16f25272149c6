"""Refusals: whom each documented one concerns, and what a dozen of them in a row lead to."""

from __future__ import annotations

from datetime import timedelta

import pytest

from campaign.delivery.circuit_breaker import AbortRun, BlockDomain, CircuitBreaker, Measure
from campaign.delivery.refusals import Subject, refuses_address, same_words, subject_of
from campaign.delivery.retry import RetryPolicy, outcome_of
from campaign.errors import CampaignError, DeliveryError
from campaign.model import Delivery, Receipt, Recipient, Status
from campaign.smtp.reply_codes import Command, classify_reply
from campaign.words import receipt
from support.faults.provider_refusals import REFUSALS, Refusal

OTHER = Refusal("any", "552 Something about what you sent", "stop")


def row(number: int, domain: str) -> Delivery:
    """Return a row of a domain."""
    recipient = Recipient(f"user_{number}", f"u{number}@{domain}", f"user_{number}", {}, number + 1)
    return Delivery(number, recipient, attempts=1, faults=0, generation=1)


def said(refusal: Refusal, delivery: Delivery) -> CampaignError:
    """Return the error of a refusal."""
    text = refusal.reply(delivery.id, delivery.recipient.email)
    return classify_reply(receipt(int(text[:3]), text[4:]), Command.RCPT if refusal.at == "rcpt" else Command.DOT)


def refused(breaker: CircuitBreaker, refusal: Refusal, number: int, *, domains: int = 5) -> list[Measure]:
    """Return what the breaker decides while `number` rows of several domains are refused."""
    measures = []
    for each in range(number):
        delivery = row(each, f"d{each % domains}.example")
        error = said(refusal, delivery)
        assert isinstance(error, DeliveryError), error
        measures.append(breaker.refused(delivery, error, already_paused=False))
    return [measure for measure in measures if measure]


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_a_dozen_of_each_documented_refusal(refusal: Refusal) -> None:
    """A dozen in a row stop the run and free their rows if they concern the sender, and nothing stops for mailboxes."""
    measures = refused(CircuitBreaker(RetryPolicy(5, timedelta(seconds=30))), refusal, 12)
    if refusal.reaction == "stop":
        (abort,) = measures
        assert isinstance(abort, AbortRun)
        assert sorted(abort.rows) == list(range(12))
        assert refusal.after in abort.reason
        assert refusal.reply(11, "")[:12] in abort.reason
    else:
        assert measures == []


@pytest.mark.parametrize("refusal", [*(each for each in REFUSALS if each.reaction == "stop"), OTHER], ids=str)
def test_an_acceptance_between_starts_the_count_again(refusal: Refusal) -> None:
    """As long as the server accepts a message now and then, no run stops."""
    breaker = CircuitBreaker(RetryPolicy())
    for _ in range(10):
        assert refused(breaker, refusal, 11) == []
        for domain in range(5):
            breaker.accepted(f"d{domain}.example")


def test_one_domain_stops_no_run() -> None:
    """Refusals by a single domain that concern the sender block that domain, and free the rows that it refused."""
    refusal = next(each for each in REFUSALS if "5.7.26" in each.text)
    measures = refused(CircuitBreaker(RetryPolicy()), refusal, 20, domains=1)
    assert all(isinstance(each, BlockDomain) for each in measures)
    assert isinstance(measures[0], BlockDomain)
    assert measures[0].rows == (0, 1, 2, 3, 4)


def test_one_domain_may_refuse_any_number_for_an_unknown_reason() -> None:
    """The same words from a single domain, about neither sender nor mailbox, fail their rows and stop nothing."""
    assert refused(CircuitBreaker(RetryPolicy()), OTHER, 40, domains=1) == []


def test_a_quota_stops_a_run_to_a_single_domain() -> None:
    """A quota of the account stops the run also if all recipients are of one domain."""
    refusal = next(each for each in REFUSALS if "5.4.5" in each.text)
    measures = refused(CircuitBreaker(RetryPolicy()), refusal, 12, domains=1)
    assert [type(each) for each in measures] == [AbortRun]


def test_unknown_mailboxes_between_do_not_hide_a_refusal_of_the_sender() -> None:
    """Refusals of single mailboxes neither count nor interrupt the count."""
    breaker = CircuitBreaker(RetryPolicy())
    unknown = next(each for each in REFUSALS if "5.1.1 " in each.text)
    quota = next(each for each in REFUSALS if "5.4.5" in each.text)
    for _ in range(5):
        assert refused(breaker, quota, 2) == []
        assert refused(breaker, unknown, 2) == []
    assert [type(each) for each in refused(breaker, quota, 2)] == [AbortRun]


def test_any_number_of_different_refusals_needs_bounded_memory() -> None:
    """Refusals that all differ stop nothing, and only the latest are remembered."""
    breaker = CircuitBreaker(RetryPolicy())
    letters = "abcdefghij"
    for number in range(1000):
        words = "".join(letters[int(digit)] for digit in str(number))
        assert refused(breaker, Refusal("any", f"554 {words}", "fail"), 1) == []
    assert len(breaker._streaks) <= 50  # noqa: SLF001 - nothing else shows it


@pytest.mark.parametrize(
    "text",
    [
        "550 <u{n}@example.com>: refused (in reply to id {n}x) https://example.com/{n}",
        "550 refused (in reply to id 7x)",
    ],
)
def test_addresses_numbers_and_ids_are_no_difference(text: str) -> None:
    """Two refusals for the same reason have the same words, whatever differs from message to message."""
    first, second = (text.format(n=number) for number in (1, 22))
    assert same_words(receipt(550, first[4:])) == same_words(receipt(550, second[4:]))
    assert "refused" in same_words(receipt(550, first[4:]))


@pytest.mark.parametrize(
    ("reply", "subject"),
    [
        (Receipt(550, "", "No such user here"), Subject.MAILBOX),
        (Receipt(550, "5.7.1", "Recipient address rejected: User unknown in virtual mailbox table"), Subject.MAILBOX),
        (Receipt(550, "", "This account has been disabled"), Subject.MAILBOX),
        (Receipt(550, "", "Your account has been disabled"), Subject.SENDER),
        (Receipt(550, "", "Sender address rejected: Domain not found"), Subject.SENDER),
        (Receipt(552, "", "Mailbox quota exceeded, over quota"), Subject.MAILBOX),
        (Receipt(554, "5.7.1", "You have exceeded your sending quota"), Subject.QUOTA),
        (Receipt(552, "5.3.4", "Message size exceeds fixed limit"), Subject.OTHER),
        (Receipt(554, "", "Transaction failed"), Subject.OTHER),
    ],
    ids=str,
)
def test_whom_a_refusal_concerns(reply: Receipt, subject: Subject) -> None:
    """Codes decide first, then the words; a sender's account is told from a recipient's."""
    assert subject_of(reply) is subject


@pytest.mark.parametrize(
    ("said", "refuses"),
    [
        ("5.1.1 No such user", True),
        ("5.1.10 RESOLVER.ADR.RecipientNotFound", True),
        ("5.1.0 Address rejected", True),
        ("5.2.1 The account is disabled", True),
        ("No such user", False),
        ("5.2.2 Mailbox full", False),
        ("5.7.1 No such user", False),
        ("5.5.0 No such user", False),
        ("5.1.8 Bad sender", False),
        ("5.1.0 Sender rejected", False),
        ("5.1.1 Rejected: listed in a DNSBL", False),
        ("5.1.90 Your daily limit is reached", False),
        ("5.2.1 receives mail at a rate that is too high", False),
    ],
)
def test_which_refusals_of_rcpt_suppress(said: str, *, refuses: bool) -> None:
    """5.1.x and 5.2.1 suppress the address if they answer RCPT and no word or code of theirs is about the sender."""
    assert refuses_address(receipt(550, said)) is refuses
    for stage in (Command.RCPT, Command.DATA, Command.DOT):
        error = classify_reply(receipt(550, said), stage)
        assert isinstance(error, DeliveryError)
        policy = RetryPolicy(5, timedelta(seconds=30))
        outcome = outcome_of(error, row(1, "d.example"), policy, now=0.0, paused_until=0.0)
        assert outcome.status is Status.FAILED
        assert bool(outcome.suppress) is (refuses and stage is Command.RCPT)
