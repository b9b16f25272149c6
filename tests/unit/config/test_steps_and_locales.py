"""Steps, locales, schedule and recheck in the campaign file: each variant, and what is refused with its line."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from campaign.config.definition import Definition, load_definition
from campaign.config.definition.timing_warnings import timing_warnings
from campaign.config.recheck_key import recheck_key_of
from campaign.config.settings import Settings
from campaign.errors import DefinitionError, SettingsError
from campaign.model import NEVER, Rate

if TYPE_CHECKING:
    from pathlib import Path

#: The campaign of a shop whose customers left their carts, in two steps and two languages.
CARTS = """\
name = "abandoned-cart"
[recipients]
file = "carts.csv"
key = "cart_id"
where = "total | number > 20"
batch = 500
order = "position"
[schedule]
due = "abandoned_at + 1h"
until = "abandoned_at + 3d"
hours = "09:00-20:00"
days = "Mon-Sat"
zone = "time_zone"
default_zone = "Europe/Berlin"
[recheck]
url = "https://shop.example/campaign/still-open"
[link]
url = "https://shop.example/welcome"
expires_in = "48h"
[email]
from = "Acme <hello@acme.example>"
[[steps]]
name = "first"
subject = "You left something behind"
html = "first.html"
[[steps]]
name = "second"
due = "first + 23h"
hours = "08:00-12:00"
unless = ["active"]
url = "https://shop.example/again"
subject = "Still yours until tomorrow"
html = "second.html"
[locales]
column = "locale"
default = "en"
[locales.de]
subject = "Etwas vergessen"
html = "first.de.html"
[locales.de.second]
subject = "Noch bis morgen"
url = "https://shop.example/de"
[limits]
ramp = ["500/day", "1000/day"]
per_recipient = "2/week"
"""
#: A campaign without steps and locales.
PLAIN = """\
name = "plain"
[recipients]
file = "people.csv"
[email]
from = "hello@acme.example"
subject = "Hello"
html = "first.html"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that contains the templates."""
    for name in ("first", "second", "first.de"):
        (tmp_path / f"{name}.html").write_text("<p>Hello</p>")
    return tmp_path


def load(folder: Path, text: str) -> Definition:
    """Load a campaign file with this text."""
    path = folder / "campaign.toml"
    path.write_text(text, encoding="utf-8")
    return load_definition(path)


def problems(folder: Path, text: str) -> list[tuple[int, str]]:
    """Return the line and the message of each problem in a file."""
    with pytest.raises(DefinitionError) as refused:
        load(folder, text)
    assert refused.value.__context__ is None
    found = [re.fullmatch(r".*campaign\.toml(?::(\d+))?: (.*[.?])", line) for line in str(refused.value).splitlines()]
    return [(int(match[1] or 0), match[2]) if match else (-1, "") for match in found]


def test_a_step_overrides_what_the_campaign_says(folder: Path) -> None:
    """Each step has its own keys, and the campaign's for the rest; without a name the first step is meant."""
    campaign = load(folder, CARTS)
    assert (campaign.step_names, campaign.locale_names) == (("first", "second"), ("en", "de"))
    first, second = campaign.variant("first"), campaign.variant("second")
    assert (campaign.step, campaign.locale, campaign.email) == ("first", "en", first.email)
    assert (first.email.subject, second.email.subject) == ("You left something behind", "Still yours until tomorrow")
    assert first.email.sender == second.email.sender == "Acme <hello@acme.example>"
    assert [step.link and step.link.url for step in (first, second)] == [
        "https://shop.example/welcome",
        "https://shop.example/again",
    ]
    assert [step.link and step.link.expires_in for step in (first, second)] == [timedelta(hours=48)] * 2
    assert first.recheck is not None
    assert second.recheck is not None
    assert first.recheck.url == second.recheck.url == "https://shop.example/campaign/still-open"
    assert (first.unless, second.unless) == ((), ("active",))
    assert second.variant("first") is first
    assert campaign.variant("second") is second
    with pytest.raises(KeyError):
        campaign.variant("third")


def test_a_locale_overrides_the_steps(folder: Path) -> None:
    """A locale's keys hold for all steps, and those below a step's name for that step, before all others."""
    campaign = load(folder, CARTS)
    first, second = campaign.variant("first", "de"), campaign.variant("second", "de")
    assert (first.email.subject, second.email.subject) == ("Etwas vergessen", "Noch bis morgen")
    assert [campaign.template_name(step.email.html) for step in (first, second)] == ["first.de.html"] * 2
    assert [step.link and step.link.url for step in (first, second)] == [
        "https://shop.example/welcome",
        "https://shop.example/de",
    ]
    assert (second.step, second.locale, second.step_number) == ("second", "de", 1)


@pytest.mark.parametrize(
    ("cell", "locale"),
    [
        ("de", "de"),
        (" DE ", "de"),
        ("de-AT", "de"),
        ("de_CH_1996", "de"),
        ("en-GB", "en"),
        ("fr", "en"),
        ("d", "en"),
        ("den", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_a_row_gets_the_nearest_locale(folder: Path, cell: str | None, locale: str) -> None:
    """The cell's language is looked up without its further parts; an unknown or empty one gets the default."""
    campaign = load(folder, CARTS)
    assert campaign.locale_of({} if cell is None else {"locale": cell}) == locale


def test_each_step_has_a_schedule_of_its_own(folder: Path) -> None:
    """A later step counts from the mail of an earlier one; end, zone and windows are the campaign's, or its own."""
    campaign = load(folder, CARTS)
    first, second = campaign.schedule, campaign.variant("second").schedule
    row = {"abandoned_at": "2026-06-01T00:00Z", "time_zone": "America/New_York"}
    midnight = 1_780_272_000.0
    assert (first.follows, second.follows) == (None, "first")
    assert first.due_at(row, {}) == midnight + 3600
    assert second.due_at(row, {"first": 1000.0}) == 1000 + 23 * 3600
    assert second.due_at(row, {}) == NEVER
    assert first.until_at(row, {}) == second.until_at(row, {}) == midnight + 3 * 86_400
    # 20:00 on Sunday in New York
    assert first.next_open(midnight, row) == midnight + 13 * 3600
    assert second.next_open(midnight, row) == midnight + 12 * 3600
    assert campaign.columns == {
        "locale": ("locales", "column"),
        "time_zone": ("schedule", "zone"),
        "abandoned_at": ("schedule", "due"),
    }


def test_a_campaign_without_these_sections_has_one_step_at_once(folder: Path) -> None:
    """Without steps, locales and schedule there is one variant without a name, due at once and for ever."""
    campaign = load(folder, PLAIN)
    assert (campaign.step_names, campaign.locale_names, campaign.columns) == (("",), ("",), {})
    assert campaign.variant("", "") is campaign
    assert campaign.locale_of({"locale": "de"}) == ""
    assert (campaign.schedule.due_at({}, {}), campaign.schedule.until_at({}, {})) == (0.0, math.inf)
    assert campaign.schedule.next_open(5.0, {}) == 5.0
    assert (campaign.unless, campaign.recheck) == ((), None)
    section = campaign.recipients
    assert (section.where, section.batch, section.order) == (None, None, None)
    assert (campaign.limits.ramp, campaign.limits.per_recipient) == ((), None)


def test_recipients_and_limits_have_their_new_keys(folder: Path) -> None:
    """`where`, `batch`, `order`, `ramp` and `per_recipient` are read."""
    campaign = load(folder, CARTS)
    section = campaign.recipients
    assert (section.where, section.batch, section.order) == ("total | number > 20", 500, "position")
    assert campaign.limits.ramp == (Rate(500, timedelta(days=1)), Rate(1000, timedelta(days=1)))
    assert campaign.limits.per_recipient == Rate(2, timedelta(weeks=1))


def test_a_later_step_looks_for_all_signs_that_it_can_see(folder: Path) -> None:
    """Without `unless` a later step asks for both signs if there is a link, and for none otherwise."""
    text = CARTS.replace('unless = ["active"]\n', "")
    assert load(folder, text).variant("second").unless == ("link used", "active")
    without = re.sub(r"\[link\]\n.*\n.*\n", "", text).replace('url = "https://shop.example/again"\n', "")
    without = without.replace('url = "https://shop.example/de"\n', "")
    assert load(folder, without).variant("second").unless == ()
    none = text.replace("[recheck]", "[recheck]\nunless = []")
    assert load(folder, none).variant("second").unless == ()


def test_a_time_may_be_the_same_for_all(folder: Path) -> None:
    """A fixed time needs no column, in quotes or as TOML's own, and is read in the recipient's zone if it has none."""
    for written in ("2026-12-24T09:00:00", '"2026-12-24 09:00"', '"2026-12-24T09:00"'):
        schedule = load(folder, f'{PLAIN}[schedule]\ndue = {written}\nzone = "zone"').schedule
        assert schedule.due_at({"zone": "Europe/Berlin"}, {}) == 1_798_099_200
        assert schedule.due_at({"zone": "America/New_York"}, {}) == 1_798_120_800
    schedule = load(folder, f"{PLAIN}[schedule]\ndue = 2026-12-24T09:00:00+01:00").schedule
    assert schedule.due_at({}, {}) == 1_798_099_200
    assert load(folder, f"{PLAIN}[schedule]\nuntil = 2026-12-24T09:00:00Z").columns == {}


def steps(*written: str) -> str:
    """Return a campaign file with these steps, the first of which begins in line 6."""
    head = 'name = "x"\nrecipients.file = "a.csv"\n[email]\nfrom = "a@acme.example"\nhtml = "first.html"\n'
    return head + "".join(f'[[steps]]\nsubject = "x"\n{step}\n' for step in written)


#: One step, in lines 6 to 8.
ONE = steps("name = 'a'")
#: Three lines.
LOCALES = "[locales]\ncolumn = 'l'\ndefault = 'en'\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (f"{PLAIN}[schedule]\ndue = 'tomorrow morning'", 9, "[schedule] due: 'tomorrow morning' is not a time"),
        (f"{PLAIN}[schedule]\ndue = '1h'", 9, "does not say from when"),
        (f"{PLAIN}[schedule]\ndue = 7", 9, "must be a time in quotes"),
        (f"{PLAIN}[schedule]\ndue = 'left_at + 1 fortnight'", 9, "is not a duration"),
        (f"{PLAIN}[schedule]\ndue = 'left_at +'", 9, "is not a duration"),
        (f"{PLAIN}[schedule]\nuntil = '2026-13-01'", 9, "[schedule] until: '2026-13-01' is not a time in ISO 8601"),
        (f"{PLAIN}[schedule]\nuntil = 'left_at + 9999d'", 9, "ten years"),
        (f"{PLAIN}[schedule]\ndue = 'left_at + 3d'\nuntil = 'left_at + 1h'", 10, 'not later than due, "left_at + 3d"'),
        (f"{PLAIN}[schedule]\nuntil = 'left_at'\ndue = 'left_at'", 9, "every row would be too late"),
        (f"{PLAIN}[schedule]\ndue = 2026-01-02\nuntil = 2026-01-01", 10, "every row would be too late"),
        (f"{PLAIN}[schedule]\nhours = '9-20'\ndefault_zone = 'UTC'", 9, 'write hours such as "09:00-20:00"'),
        (f"{PLAIN}[schedule]\nhours = '09:00-25:00'\ndefault_zone = 'UTC'", 9, "25:00 in"),
        (f"{PLAIN}[schedule]\nhours = '09:00-09:00'\ndefault_zone = 'UTC'", 9, "never opens"),
        (f"{PLAIN}[schedule]\nhours = 9\ndefault_zone = 'UTC'", 9, "must be hours in quotes"),
        (f"{PLAIN}[schedule]\nhours = ''\ndefault_zone = 'UTC'", 9, "are not hours"),
        (f"{PLAIN}[schedule]\nhours = '09:00-20:00'", 9, 'add default_zone = "Europe/Berlin"'),
        (f"{PLAIN}[schedule]\ndays = 'Mon-Fri'", 9, 'add default_zone = "Europe/Berlin"'),
        (f"{PLAIN}[schedule]\ndays = 'Mon-Fry'\ndefault_zone = 'UTC'", 9, "'Fry' in 'Mon-Fry' is not a day"),
        (f"{PLAIN}[schedule]\ndays = ''\ndefault_zone = 'UTC'", 9, "'' is not a day"),
        (f"{PLAIN}[schedule]\ndays = ['Mon']\ndefault_zone = 'UTC'", 9, "must be days in quotes"),
        (f"{PLAIN}[schedule]\ndefault_zone = 'Europe/Berln'", 9, 'did you mean "Europe/Berlin"?'),
        (f"{PLAIN}[schedule]\ndefault_zone = 'new york'", 9, 'did you mean "America/New_York"?'),
        (f"{PLAIN}[schedule]\ndefault_zone = '+02:00'", 9, 'write an IANA name such as "Europe/Berlin"'),
        (f"{PLAIN}[schedule]\ndefault_zone = '../../etc/passwd'", 9, "is not a time zone"),
        (f"{PLAIN}[schedule]\ndefault_zone = ''", 9, "is not a time zone"),
        (f"{PLAIN}[schedule]\nzone = 'Time zone'", 9, "as templates write it"),
        (f"{PLAIN}[schedule]\nhour = '09:00-20:00'", 9, 'unknown key "hour" in [schedule]; did you mean "hours"?'),
        (f"schedule = 'daily'\n{PLAIN}", 1, "must be a section, written [schedule]"),
        (f"{PLAIN}[recheck]\nurl = 'http://shop.example/open'", 9, "unencrypted over http://"),
        (f"{PLAIN}[recheck]\nurl = 'shop.example/open'", 9, "must begin with https://"),
        (f"{PLAIN}[recheck]\nurl = 'https://a:b@shop.example/open'", 9, "without a password"),
        (f"{PLAIN}[recheck]\nurl = 'https://shop.example/{{{{ key }}}}'", 9, "without spaces, variables"),
        (f"{PLAIN}[recheck]\nurl = 'https:///open'", 9, "must name a host"),
        (f"{PLAIN}[recheck]\nurl = 'https://shop.example'\ntimeout = '5m'", 10, 'from "1s" to "60s"'),
        (f"{PLAIN}[recheck]\nunless = 'active'", 9, 'must be a list of "link used" and "active"'),
        (f"{PLAIN}[recheck]\nunless = ['bought']", 9, 'must be a list of "link used" and "active"'),
        (f"{PLAIN}[recheck]\nunless = ['link used']", 9, '"link used" can be seen only in a campaign with [link]'),
        (f"{PLAIN}[limits]\nramp = ['500/hour']", 9, 'must be rates of one day, such as ["500/day", "1000/day"]'),
        (f"{PLAIN}[limits]\nramp = ['500/day', '1000/2 days']", 9, '"1000/2 days" is none'),
        (f"{PLAIN}[limits]\nramp = ['500/day', '0/day']", 9, "'0/day' is not a rate"),
        (f"{PLAIN}[limits]\nramp = []", 9, "must be a rate"),
        (f"{PLAIN}[limits]\nper_recipient = ['2/week']", 9, 'must be a rate in quotes, such as "2/week"'),
        (f"{PLAIN}[limits]\nper_recipient = 'twice'", 9, "is not a rate"),
        (PLAIN.replace("file =", "batch = 0\nfile ="), 3, "must be from 1 to 10,000,000"),
        (PLAIN.replace("file =", "batch = 10000001\nfile ="), 3, "must be from 1 to 10,000,000"),
        (PLAIN.replace("file =", "batch = '500'\nfile ="), 3, "whole number without quotes"),
        (PLAIN.replace("file =", "where = ' '\nfile ="), 3, "must be an expression without {{ }}"),
        (PLAIN.replace("file =", "where = '{{ a }}'\nfile ="), 3, "must be an expression without {{ }}"),
        (PLAIN.replace("file =", "order = ''\nfile ="), 3, 'name of a column, such as "position"'),
        (f"steps = 2\n{PLAIN}", 1, "write a section [[steps]], in double brackets"),
        (f"steps = []\n{PLAIN}", 1, "write a section [[steps]], in double brackets"),
        (f"{PLAIN}[steps]\nname = 'first'", 8, "write a section [[steps]], in double brackets"),
        (steps("due = 'a'"), 6, '[steps] name is missing; add name = "first".'),
        (steps("name = 1"), 8, "[steps] name: must be text in quotes"),
        (steps("name = 'the first'"), 8, "letters, digits or _"),
        (steps("name = 'subject'"), 8, '"subject" is also the name of a key'),
        (steps("name = 'a'", "name = 'a'"), 11, 'there are two steps "a"'),
        (steps("name = 'a'\nsubjekt = 'x'"), 9, 'unknown key "subjekt" in [steps]; did you mean "subject"?'),
        (steps("name = 'a'\nmessages = '1/day'"), 9, 'unknown key "messages" in [steps]'),
        (steps("name = 'a'", "name = 'b'\nhtml = 'c.html'"), 12, "[steps] html: the template"),
        (steps("name = 'a'\nfrom = 'x'"), 9, "[steps] from: must be one address"),
        (steps("name = 'a'").replace('subject = "x"\n', ""), 6, '[steps] subject is missing; add subject = "'),
        (steps("name = 'a'\ndue = 'a + 1h'"), 9, '"a" is this step itself; count from a column'),
        (steps("name = 'a'\ndue = 'b + 1h'", "name = 'b'"), 9, '"b" is a later step; count from a column'),
        (steps("name = 'a'", "name = 'b'\ndue = 'c + 1h'", "name = 'c'"), 12, '"c" is a later step; count from "a"'),
        (steps("name = 'a'", "name = 'b'\nuntil = 'b + 1h'"), 12, '"b" is this step itself; count from "a"'),
        (steps("name = 'a'", "name = 'b'\ndue = 'a - 1h'"), 12, '"a - 1h" is before that step'),
        (steps("name = 'a'", "name = 'b'\ndue = 'a + 2h'\nuntil = 'a + 1h'"), 13, "every row would be too late"),
        (steps("name = 'a'", "name = 'b'\nhours = '01:00-02:00'"), 12, "[steps] hours: are read in the recipient's"),
        (steps("name = 'a'", "name = 'b'\nunless = ['active']"), 12, '"active" can be seen only in a campaign with'),
        (f"{ONE}[schedule]\ndue = 'a + 1h'", 10, "times in [schedule] count from a column"),
        (f"{ONE}[schedule]\nuntil = 'a + 1h'", 10, "times in [schedule] count from a column"),
        (f"{ONE}[[steps.attachments]]\npath = 'a.pdf'", 10, "the file"),
        (f"locales = 'de'\n{PLAIN}", 1, "must be a section, written [locales]"),
        (f"{PLAIN}[locales]\ncolumn = 'locale'\n[locales.de]\nsubject = 'x'", 8, "[locales] default is missing; add"),
        (f"{PLAIN}[locales]\ndefault = 'en'", 8, '[locales] column is missing; add column = "locale".'),
        (f"{PLAIN}[locales]\ncolumn = 'my locale'\ndefault = 'en'", 9, "as templates write it"),
        (f"{PLAIN}[locales]\ncolumn = 'locale'\ndefault = 'e n'", 10, "'e n' is not a language"),
        (f"{PLAIN}{LOCALES}defaults = 'x'", 11, 'did you mean "default"?'),
        (f"{PLAIN}{LOCALES}[locales.german_]\nsubject = 'x'", 11, "is not a language"),
        (f"{PLAIN}{LOCALES}[locales.de]\n[locales.DE]", 12, "[locales.de] is the same"),
        (
            f"{PLAIN}{LOCALES}[locales.de]\nsubjct = 'x'",
            12,
            'unknown key "subjct" in [locales.de]; did you mean "subject"?',
        ),
        (
            f"{PLAIN}{LOCALES}[locales.de]\nhtml = 'x.html'",
            12,
            "[locales.de] html: the template",
        ),
        (
            f"{ONE}{LOCALES}[locales.de.a]\nsubject = ''",
            13,
            "[locales.de.a] subject: must be one line",
        ),
        (
            f"{ONE}{LOCALES}[locales.de.b]\nsubject = ''",
            12,
            'unknown key "b" in [locales.de]',
        ),
        (
            f"{ONE}{LOCALES}[locales.de]\na = 'x'",
            13,
            "must be a section, written [locales.de.a]",
        ),
        (steps("name = 'a'\nfrom = 'a@b.example'") + "[dkim]\nselector = 's'\ndomain = 'acme.example'", 12, "DMARC"),
    ],
)
def test_a_wrong_value_is_told_with_its_line(folder: Path, text: str, line: int, words: str) -> None:
    """A value that breaks a rule is reported once, with section, key, line, and what to write instead."""
    found = problems(folder, text)
    assert [(number, words in sentence) for number, sentence in found if words in sentence] == [(line, True)], found


def test_the_problems_of_all_steps_and_locales_are_told_at_once(folder: Path) -> None:
    """Each mistake is told once with its own line, however many steps and locales it breaks."""
    text = CARTS.replace("Europe/Berlin", "Europe/Nowhere").replace("Acme <hello@acme.example>", "Acme")
    text = text.replace("first + 23h", "second + 23h").replace("first.de.html", "none.html")
    text = text.replace('ramp = ["500/day"', 'ramp = ["500/hour"')
    lines = text.splitlines()
    assert [line for line, _ in problems(folder, text)] == [
        number for number, line in enumerate(lines, 1) if re.search("Nowhere|Acme|second [+]|none.html|500/hour", line)
    ]


def test_what_is_seldom_meant_is_a_warning(folder: Path) -> None:
    """A step without a distance to the one before, a due time without end, and keys without effect are warnings."""
    text = CARTS.replace('due = "first + 23h"\n', "").replace('until = "abandoned_at + 3d"\n', "")
    assert [(found.line, found.text.split(";")[0]) for found in timing_warnings(load(folder, text))] == [
        (9, "due has no until: after an outage mails go out however late"),
        (25, 'the step "second" goes out at once after "first"'),
    ]
    text = CARTS.replace('"first + 23h"', '"abandoned_at + 1d"')
    (found,) = timing_warnings(load(folder, text))
    assert (found.line, "after an outage it may go out right after" in found.text) == (28, True)
    text = f"{PLAIN}[recheck]\nunless = ['active']\ntimeout = '5s'\n[link]\nurl = 'https://a.example'\nexpires_in='1h'"
    assert [found.line for found in timing_warnings(load(folder, text))] == [9, 10]
    assert timing_warnings(load(folder, CARTS)) == timing_warnings(load(folder, PLAIN)) == []


def test_a_recheck_needs_its_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key signs the questions of a campaign with `[recheck] url`; without it the line of the url is named."""
    monkeypatch.delenv("CAMPAIGN_RECHECK_KEY", raising=False)
    campaign = load(folder, CARTS)
    with pytest.raises(SettingsError, match=r"campaign\.toml:16: CAMPAIGN_RECHECK_KEY is not set; \[recheck\] url"):
        recheck_key_of(campaign, Settings())
    assert recheck_key_of(load(folder, PLAIN), Settings()) is None
    monkeypatch.setenv("CAMPAIGN_RECHECK_KEY", "0123456789abcdef" * 2)
    assert recheck_key_of(campaign, Settings()) == b"0123456789abcdef" * 2
