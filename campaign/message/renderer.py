"""Render one recipient's subject, HTML, text and links: `Renderer.render`.

The steps are: render the HTML, inline its CSS, make the text part from it if the campaign has no text template, and
check the links in the result. `mime/mime_template.py` turns the result into bytes.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from campaign.errors import TemplateError
from campaign.message import link_arrival, templates
from campaign.message.html.css import inline_css
from campaign.message.html.escaping import with_escaping
from campaign.message.html.text import text_of
from campaign.message.image_use import images_named
from campaign.message.link_use import check_link_use
from campaign.message.links import LinkBuilder
from campaign.message.mime.bodies import with_newlines
from campaign.message.mime.file_part import content_id
from campaign.message.mime.headers import one_line
from campaign.message.template_errors import explained
from campaign.message.template_folder import TemplateFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    from jinja2 import Environment, Template

    from campaign.config.definition import Definition

#: Replaces the token when a template is rendered for an error text.
_NO_TOKEN = "..."  # noqa: S105 - it is none
#: Variables that the body templates get in addition to the columns.
_OURS = frozenset({"link", "link_to"})
#: The function that the HTML calls for the address of an inline image.
_CID = "cid"


class Rendered(NamedTuple):
    """The rendered texts of one message. They contain the token, so never log or print them."""

    #: A single line.
    subject: str
    #: With newlines as line breaks, like `text`.
    html: str
    text: str
    #: The links that carry the token.
    links: tuple[str, ...]
    #: The files of the images that the HTML shows with `cid`.
    images: tuple[str, ...]


class Renderer:
    """The compiled templates of a campaign.

    Raises:
        TemplateError: a template is missing or malformed, or does not use the link; the text names file and line.
    """

    def __init__(self, definition: Definition) -> None:
        email, link = definition.email, definition.link
        self._folder = TemplateFolder(definition.path.parent)
        self._names = templates.Names()
        self._domain = email.sender.rpartition("@")[2].rstrip(">")
        #: The images that the templates name as plain text, each with the place (`file:line`) of its first use.
        self.images: dict[str, str] = {}
        self._ours = _OURS if link else frozenset()
        self._html = self._compiled(
            templates.environment(self._folder, prepare=with_escaping, autoescape=True), email.html
        )
        self._text = self._compiled(templates.environment(self._folder), email.text) if email.text else None
        self._folder.seal()

        where = f"{definition.path}: email.subject"
        tree = templates.parse(templates.environment(), email.subject, where)
        if self._ours & templates.names_used(tree).keys():
            raise TemplateError(f"{where}: The subject must not contain a sign-in link; remove it.")
        self._names.add(where, tree)
        self._subject = templates.compile_source(templates.environment(), email.subject, where)
        self._link: LinkBuilder | None = None
        if link is not None:
            where = f"{definition.path}: link.url"
            self._link = LinkBuilder(link.url, link.parameter, link.hosts, where=where)
            self._names.add(where, self._link.tree)
        self._globals = dict(self._subject.globals)
        #: A hash of everything that the campaign's mails are made of.
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

    def _compiled(self, env: Environment, path: Path) -> Template:
        """Compile a template, record the names it uses, and check that it uses the link."""
        name = self._folder.name_of(path)
        trees = templates.load(env, self._folder, name)
        for each, tree in trees.items():
            self._names.add(self._folder.path_of(each), tree)
            self.images = images_named(tree, self._folder.path_of(each)) | self.images
        if self._ours:
            check_link_use({self._folder.path_of(each): tree for each, tree in trees.items()})
        if self._ours and not any(self._ours & templates.names_used(tree).keys() for tree in trees.values()):
            raise TemplateError(
                f"{self._folder.path_of(name)}: The sign-in link is missing: put {{{{ link }}}} where people should "
                "click, or remove [link] from the campaign file."
            )
        return env.get_template(name)

    @property
    def files(self) -> list[str]:
        """The files that the message is made of, in the order of their names."""
        return sorted(self._folder.path_of(name) for name in self._folder.sources)

    def variables_used(self) -> Mapping[str, str]:
        """Return the columns that the templates expect, each with the place (`file:line`) of its first use."""
        return self._names.outside(ours=self._ours | {_CID})

    def render(self, variables: Mapping[str, Any], token: str | None) -> Rendered:
        """Return the rendered texts for one recipient.

        Args:
            variables: the recipient's columns by name.
            token: the sign-in token; required if the campaign has a link.

        Raises:
            TemplateError: the templates cannot be rendered with these variables, or a body does not contain the link;
                the text names the template's file and line and never contains the token.
            ValueError: the token is missing.
        """
        return self._render(variables, token, finish=True)

    def check(self, variables: Mapping[str, Any], token: str | None) -> str:
        """Render all templates for one recipient and return the subject; skip CSS inlining and the derived text part.

        Raises:
            TemplateError, ValueError: see `render`.
        """
        return self._render(variables, token, finish=False).subject

    def _render(self, variables: Mapping[str, Any], token: str | None, *, finish: bool) -> Rendered:
        if self._link is not None and not token:
            raise ValueError("This campaign has a link, so every message needs a token.")
        try:
            context, links = self._context(variables, token or "")
            subject = one_line(templates.render(self._subject, context))
            images: list[str] = []
            context[_CID] = partial(self._cid, images)
            html = templates.render(self._html, context)
            html = with_newlines(inline_css(html) if finish else html)
            text = None
            if self._text is not None:
                context[_CID] = _no_cid
                text = with_newlines(templates.render(self._text, context))
            if text is None and finish:
                text = text_of(html)
        except Exception as error:  # noqa: BLE001 - a template can raise anything
            raise self._explained(error, variables) from None
        arrived = self._arrived(html, text, links, token) if self._link is not None and token else ()
        return Rendered(subject, html, text or "", arrived, tuple(images))

    def _cid(self, images: list[str], name: object) -> str:
        """Return the URL of an inline image (RFC 2392 §2), and add its file to `images`."""
        images.append(str(name))
        return f"cid:{content_id(str(name), self._domain)}"

    def _arrived(self, html: str, text: str | None, links: list[str], token: str) -> tuple[str, ...]:
        """Return the links that stand unchanged in the HTML; `text` is None if it was not rendered yet.

        Raises:
            TemplateError: the HTML or the text contains no link, or the token stands outside the links.
        """
        arrived = link_arrival.arrived(html, links)
        text_source = self._html if self._text is None else self._text
        if not arrived:
            raise TemplateError(f"{self._html.filename}: The HTML does not contain the sign-in link unchanged.")
        if text is not None and not any(link in text for link in arrived):
            raise TemplateError(f"{text_source.filename}: The text part does not contain the sign-in link unchanged.")
        forms = [form for link in links for form in link_arrival.in_html(link)]
        for body, allowed, template in ((html, forms, self._html), (text, links, text_source)):
            if body is None:
                continue
            if wrong := link_arrival.misplaced(body, allowed, html=body is html):
                raise TemplateError(
                    f"{template.filename}: The sign-in link {wrong}; put {{{{ link }}}} there alone. Parameters "
                    "belong into link.url."
                )
            if not link_arrival.only_links_hold(token, body, allowed):
                raise TemplateError(
                    f"{template.filename}: The sign-in link is inside another address or is changed, so the "
                    "token would go elsewhere; put {{ link }} there alone."
                )
        return arrived

    def _context(self, variables: Mapping[str, Any], token: str) -> tuple[dict[str, Any], list[str]]:
        """Return the variables of the templates, and a list that collects every link with the token."""
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
        """Return the error of a failed rendering; render again without the token, to keep it out of the text."""
        try:
            context, _ = self._context(variables, _NO_TOKEN)
        except TemplateError as again:
            return again
        body = context | {_CID: partial(self._cid, [])}
        steps: list[tuple[Template, Callable[[], object]]] = [
            (template, partial(templates.render, template, context if template is self._subject else body))
            for template in (self._subject, self._html, self._text)
            if template is not None
        ]
        steps.append((self._html, lambda: inline_css(templates.render(self._html, body))))
        for template, step in steps:
            try:
                step()
            except Exception as again:  # noqa: BLE001 - a template can raise anything
                return explained(again, variables, str(template.filename))
        return TemplateError(
            f"{self._html.filename}: The HTML cannot be converted to a text part ({type(error).__name__}); "
            "give one with `text` in the campaign file."
        )


def _no_cid(_name: object) -> str:
    """Return nothing: a text shows no image."""
    return ""
