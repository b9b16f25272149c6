"""What a campaign's message says to one recipient: subject, HTML, text and links. Not yet its bytes."""

from __future__ import annotations

import re
from hashlib import sha256
from string import ascii_letters, digits
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import escape

from campaign.errors import TemplateError
from campaign.message import templates
from campaign.message.bodies import with_newlines
from campaign.message.guards import guarded
from campaign.message.headers import MAX_LENGTH, one_line
from campaign.message.inlining import inlined
from campaign.message.links import LinkBuilder
from campaign.message.plaintext import text_of, text_template, tidied
from campaign.message.straight import Straight, plain, renderer
from campaign.message.templatefaults import explained

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Any

    from jinja2 import Environment, Template, nodes

    from campaign.definition import Definition
    from campaign.message.straight import Render

#: Stands in the place of the token wherever an error might show it.
_NO_TOKEN = "..."  # noqa: S105 - it is none
#: What would belong to a link if it stood right behind it.
_GOES_ON = frozenset("-_~%" + ascii_letters + digits)
#: Behind one of these a link is a part of something else: of a query, a path, a word.
_INSIDE = frozenset("=/?&#%@" + ascii_letters + digits)
#: What nobody sees, though some mail programs take orders from it (WHATWG HTML §13.1.6).
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
#: What the templates of the bodies get beside the columns.
_OURS = frozenset({"link", "link_to"})


class Rendered(NamedTuple):
    """The words of one message. It holds the token, so it is shown nowhere."""

    #: One line.
    subject: str
    #: With newlines; the same for `text`.
    html: str
    text: str
    #: The links that carry the token.
    links: tuple[str, ...]


class _Sure(NamedTuple):
    """Templates of text and plain variables."""

    subject: Straight
    html: Straight
    text: Straight


class Wording:
    """The compiled templates of a campaign.

    Raises:
        TemplateError: a template is missing or malformed, or does not use the link; with file and line.
    """

    def __init__(self, definition: Definition) -> None:
        email, link = definition.email, definition.link
        self._folder = templates.TemplateFolder(definition.path.parent)
        self._names = templates.Names()
        self._link: LinkBuilder | None = None
        self._ours = _OURS if link else frozenset()
        html_env = templates.environment(self._folder, prepare=guarded, autoescape=True)
        # As it is written, for errors that name a line; `_html` is what is sent.
        self._written_html, trees = self._file(html_env, email.html)
        self._html = self._written_html
        root = templates.root_of(trees, self._folder.name_of(email.html))
        source = guarded(html_env, self._folder.read(root), self._folder.path_of(root))
        changed = inlined(html_env, source, self._folder.path_of(root))
        if changed != source:
            self._html = self._changed(root, changed, trees).get_template(self._html.name or root)
        self._render_html = renderer(self._html)
        known = [changed]
        text_env = templates.environment(self._folder)
        self._text: Template | None = None
        self._render_text: Render | None = None
        # Whether blank lines must be tidied up in what the text template renders.
        self._derived = email.text is None
        if email.text is not None:
            self._text, _ = self._file(text_env, email.text)
            self._render_text = renderer(self._text)
        elif (derived := text_template(text_env, changed)) is not None:
            self._text = templates.compile_source(text_env, derived, self._folder.path_of(root))
            self._render_text = renderer(self._text, derived)
            known.append(derived)
        self._folder.seal()

        where = f"{definition.path}: email.subject"
        tree = templates.parse(templates.environment(), email.subject, where)
        if self._ours & templates.names_used(tree).keys():
            raise TemplateError(f"{where}: A sign-in link must not stand in a subject; take it out.")
        self._names.add(where, tree)
        self._subject = templates.compile_source(templates.environment(), email.subject, where)
        self._render_subject = renderer(self._subject, email.subject)
        if link is not None:
            where = f"{definition.path}: link.url"
            self._link = LinkBuilder(link.url, link.parameter, link.hosts, where=where)
            self._names.add(where, self._link.tree)
        renders = (self._render_subject, self._render_html, self._render_text)
        straight = [render for render in renders if isinstance(render, Straight)]
        #: Subject, HTML and text where nothing that a value holds can make the mail fail, and what they need for it.
        self._sure = _Sure(*straight) if link is None and len(straight) == len(renders) else None
        self._needed = frozenset(name for render in straight for name in render.names)
        #: With values of so many characters a subject that has words of its own can be sent as it is.
        self._short = -1
        if self._sure is not None and any(map(str.isalnum, self._sure.subject.literal)):
            self._short = self._sure.subject.longest_value(MAX_LENGTH)
        self._globals = dict(self._subject.globals)
        #: The lines of the templates; most of them stand in every message.
        self.lines = frozenset(
            line for source in (*known, *self._folder.sources.values()) for line in source.splitlines()
        )
        #: Changes when anything changes that the campaign's mails are made of.
        self.fingerprint = sha256(
            repr(
                (
                    sorted(self._folder.sources.items()),
                    email.sender,
                    email.reply_to,
                    email.subject,
                    link and (link.url, link.parameter),
                )
            ).encode("utf-8", "backslashreplace")
        ).hexdigest()

    def _file(self, env: Environment, path: Path) -> tuple[Template, dict[str, nodes.Template]]:
        """Return a compiled template, with the syntax trees of all that it is made of."""
        name = self._folder.name_of(path)
        trees = templates.load(env, self._folder, name)
        for each, tree in trees.items():
            self._names.add(self._folder.path_of(each), tree)
        if self._ours and not any(self._ours & templates.names_used(tree).keys() for tree in trees.values()):
            raise TemplateError(
                f"{self._folder.path_of(name)}: The sign-in link is missing: put {{{{ link }}}} where people shall "
                "click, or remove [link] from the campaign file."
            )
        return env.get_template(name), trees

    def _changed(self, root: str, changed: str, trees: Iterable[str]) -> Environment:
        """Return an environment in which one template has another source."""

        def prepare(env: Environment, source: str, where: str) -> str:
            return changed if where == self._folder.path_of(root) else guarded(env, source, where)

        env = templates.environment(self._folder, prepare=prepare, autoescape=True)
        for name in trees:
            env.get_template(name)
        return env

    def variables_used(self) -> Mapping[str, str]:
        """Return the columns that the templates expect, each with the place (`file:line`) of its first use."""
        return self._names.outside(ours=self._ours)

    def is_sure(self, variables: Mapping[str, Any]) -> bool:
        """Return whether the words can certainly be rendered, and the subject can be sent, whatever the values are."""
        if self._sure is None or not self._needed <= variables.keys():
            return False
        values = map(variables.__getitem__, self._sure.subject.names)
        if all(type(value) is str and len(value) <= self._short for value in values):
            return True
        return 0 < len(one_line(self._sure.subject(variables))) <= MAX_LENGTH

    def octets(self, variables: Mapping[str, Any]) -> tuple[str, bytes, str | bytes] | None:
        """Return the subject, HTML and text of `render`, encoded as 8bit data as far as it costs next to nothing.

        None where it is not that simple: it is in a mail without a link, with plain templates and plain values.
        """
        if self._sure is None:
            return None
        try:
            values = plain(variables, self._needed)
            html = self._sure.html.octets(variables, values)
            text = (
                tidied(with_newlines(self._sure.text(variables)))
                if self._derived
                else self._sure.text.octets(variables, values)
            )
            return None if html is None or text is None else (one_line(self._sure.subject(variables)), html, text)
        except KeyError:
            return None

    def render(self, variables: Mapping[str, Any], token: str | None) -> Rendered:
        """Return the words for one recipient.

        Args:
            variables: the columns by name.
            token: the sign-in token; needed where the campaign has a link.

        Raises:
            TemplateError: these variables cannot be rendered, or the link does not arrive in both bodies; the
                text names the template's file and line and never holds the token.
            ValueError: the token is missing.
        """
        if self._link is not None and not token:
            raise ValueError("This campaign has a link, so every message needs a token.")
        try:
            context, links = self._context(variables, token or "")
            subject = one_line(self._render_subject(context))
            html = with_newlines(self._render_html(context))
            text = text_of(html) if self._render_text is None else with_newlines(self._render_text(context))
            if self._derived:
                text = tidied(text)
        except Exception as error:  # noqa: BLE001 - a template can raise anything
            raise self._explained(error, variables) from None
        if self._link is None:
            return Rendered(subject, html, text, ())
        seen = _COMMENT.sub("", html) if "<!--" in html else html
        arrived = tuple(dict.fromkeys(link for link in links if _stands_in(seen, escape(link))))
        if not arrived:
            raise TemplateError(f"{self._html.filename}: The sign-in link does not arrive in the HTML as it is.")
        if not any(_stands_in(text, link) for link in arrived):
            where = self._html if self._text is None else self._text
            raise TemplateError(f"{where.filename}: The sign-in link does not arrive in the text part as it is.")
        for body, forms, template in ((html, map(escape, links), self._html), (text, links, self._text or self._html)):
            if token and not _only_links_hold(token, body, forms):
                raise TemplateError(
                    f"{template.filename}: The sign-in link stands inside another address or is altered, so that the "
                    "token would go elsewhere; let {{ link }} stand by itself."
                )
        return Rendered(subject, html, text, arrived)

    def _context(self, variables: Mapping[str, Any], token: str) -> tuple[dict[str, Any], list[str]]:
        """Return all that the templates may name, and the list that every link with the token is put in."""
        context = {**self._globals, **variables}
        builder = self._link
        if builder is None:
            return context, []
        context["link"] = link = builder.link(variables, token)
        links = [link]

        def link_to(url: str) -> str:
            made = builder.link_to(url, token)
            links.append(made)
            return made

        context["link_to"] = link_to
        return context, links

    def _explained(self, error: Exception, variables: Mapping[str, Any]) -> TemplateError:
        """Return what went wrong; it is rendered once more without the token, so that no text can hold it."""
        try:
            context, _ = self._context(variables, _NO_TOKEN)
        except TemplateError as again:
            return again
        for template in filter(None, (self._subject, self._written_html, self._text)):
            try:
                templates.render(template, context)
            except Exception as again:  # noqa: BLE001 - a template can raise anything
                return explained(again, variables, str(template.filename))
        return TemplateError(f"{self._html.filename}: The text part cannot be derived ({type(error).__name__}).")


def _only_links_hold(token: str, text: str, links: Iterable[str]) -> bool:
    """Return whether a token stands nowhere but in these links, and none of them inside another address."""
    rest = [text]
    for link in sorted(set(links), key=len, reverse=True):
        cut = [part.split(link) for part in rest]
        if any(part[-1:] in _INSIDE for parts in cut for part in parts[:-1] if part):
            return False
        rest = [part for parts in cut for part in parts]
    return not any(token in part for part in rest)


def _stands_in(text: str, link: str) -> bool:
    """Return whether a link stands somewhere with nothing behind it that a reader's program would take for a part."""
    at = text.find(link)
    while at >= 0:
        end = at + len(link)
        if text[end : end + 1] not in _GOES_ON:
            return True
        at = text.find(link, end)
    return False
