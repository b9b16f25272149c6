"""POST the token of a test to the unsubscribe endpoint, as a mail program does: `review_one_click`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.compliance.finding import passed, problem
from campaign.compliance.online.web import Answer, Silence, ask
from campaign.tags import NO_ROW, Tags, new_key
from campaign.words import printable

if TYPE_CHECKING:
    from campaign.compliance.finding import Finding

_RULE = "RFC 8058 §3.1; Google and Yahoo"
_SILENCE = Silence(
    _RULE,
    setting="unsubscribe.url",
    start="campaign serve behind its web server",
    otherwise="ask it by hand: curl -i -X POST",
)
#: The body that a mail program posts, RFC 8058 §3.1.
_BODY = "List-Unsubscribe=One-Click"


async def review_one_click(url: str, mailing_list: str) -> list[Finding]:
    """Return whether the endpoint answers a one-click POST with 200 and without a redirect.

    The token names no row of any send log and is signed with a key that is made for this call, so the endpoint can
    suppress nobody. The endpoint must answer it as it answers a true token.

    Args:
        url: of the endpoint; the token is added.
        mailing_list: the list from which the token would unsubscribe.
    """
    name = f"One-click unsubscribe at {printable(url)}"
    token = Tags({1: new_key()}).unsubscribe_token(NO_ROW, mailing_list)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await ask(name, "POST", f"{url}/{token}", _SILENCE, headers=headers, body=_BODY)
    if not isinstance(answer, Answer):
        return [answer]
    status = answer.status
    if status < 300:
        return [passed(f"{name}: answers {status} to the POST of a mail program, without a redirect", _RULE)]
    if status < 400:
        text = f"{name}: redirects ({status}), and mail programs do not follow"
        return [problem(text, _RULE, "answer the POST itself, with 200")]
    text = f"{name}: answers {status} to the POST of a mail program, so the unsubscribe counts as failed"
    advice = "let the web server pass it on to campaign serve; a false token must be answered with 200, too"
    return [problem(text, _RULE, advice)]
