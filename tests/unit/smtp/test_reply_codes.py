"""What a refusal means: for the recipient, for the server, or for how the program presents itself."""

from __future__ import annotations

import pytest

from campaign.errors import CampaignError, PermanentError, Scope, ServiceRefusesError, TransientError
from campaign.smtp.reply_codes import Command, classify_reply, is_too_fast, is_too_many_connections
from campaign.words import receipt


@pytest.mark.parametrize(
    ("stage", "code", "said", "error", "hint"),
    [
        (Command.MAIL, 550, "5.1.8 Sender not allowed", ServiceRefusesError, "check `from` in the campaign file"),
        (Command.MAIL, 501, "5.1.7 Bad sender address", ServiceRefusesError, "check `from`"),
        (Command.MAIL, 503, "5.5.1 Bad sequence of commands", ServiceRefusesError, "check CAMPAIGN_SMTP_URL"),
        (Command.MAIL, 503, "AUTH first", ServiceRefusesError, "check user and password"),
        (Command.MAIL, 502, "5.5.1 Unrecognized command", ServiceRefusesError, "check CAMPAIGN_SMTP_URL"),
        (Command.MAIL, 553, "5.7.1 <a@b.example>: Sender address rejected: not logged in", ServiceRefusesError,
         "check user and password"),
        (Command.MAIL, 530, "5.7.57 Client not authenticated", ServiceRefusesError, "check user and password"),
        (Command.RCPT, 504, "5.5.2 <box>: Helo command rejected: need fully-qualified hostname", ServiceRefusesError,
         "set CAMPAIGN_EHLO"),
        (Command.RCPT, 550, "Access denied - Invalid HELO name (See RFC2821 4.1.1.1)", ServiceRefusesError,
         "set CAMPAIGN_EHLO"),
        (Command.MAIL, 550, "5.7.1 Invalid EHLO", ServiceRefusesError, "set CAMPAIGN_EHLO"),
        (Command.RCPT, 450, "4.7.1 <box>: Helo command rejected: Host not found", TransientError, "set CAMPAIGN_EHLO"),
        (Command.RCPT, 550, "5.1.1 no such user", PermanentError, "no such user"),
        (Command.DOT, 554, "5.7.1 refused: Helo command rejected is in the text", PermanentError, "refused"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_look_at(
    stage: Command, code: int, said: str, error: type[CampaignError], hint: str
) -> None:
    """A refusal of login, name or session ends with the setting that helps, and is never blamed on `from`."""
    found = classify_reply(receipt(code, said), stage)
    assert type(found) is error
    assert hint in str(found)
    assert ("`from`" in str(found)) == ("`from`" in hint)
    assert not isinstance(found, TransientError) or found.scope is Scope.SERVER


@pytest.mark.parametrize(
    ("code", "said", "fast", "many"),
    [
        (454, "4.7.0 Throttling failure: Maximum sending rate exceeded.", True, False),
        (421, "4.4.2 Message submission rate for this client has exceeded the configured limit", True, False),
        (454, "4.7.0 Throttling failure: Daily message quota exceeded.", False, False),
        (454, "4.7.0 Temporary authentication failure", False, False),
        (451, "4.7.1 Greylisted", False, False),
        (550, "5.4.5 Maximum sending rate exceeded", False, False),
        (432, "4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", False, True),
        (432, "4.3.2 Concurrent connections limit exceeded", False, True),
        (421, "4.7.0 Too many connections from your host", False, True),
        (421, "4.3.2 The maximum number of concurrent connections has exceeded a limit", False, True),
        (452, "4.5.3 Too many recipients", False, False),
        (250, "2.0.0 Ok", False, False),
    ],
)
def test_the_limits_of_a_server_are_told_apart(code: int, said: str, *, fast: bool, many: bool) -> None:
    """A rate that is too high, too many connections and a used-up quota are three different refusals."""
    assert is_too_fast(receipt(code, said)) is fast
    assert is_too_many_connections(receipt(code, said)) is many
