"""Render one recipient's subject, HTML, text and links: `Renderer.render`.

The steps are: render the HTML, inline its CSS, make the text part from it if the campaign has no text template, and
check the links in the result. `mime/mime_template.py` turns the result into bytes.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import nodes

from campaign.errors import RowError, TemplateError
from campaign.message import templates
from campaign.message.html.css import inline_css
from campaign.message.html.escaping import with_escaping
from campaign.message.html.text import text_of
from campaign.message.image_use import CID, cid_into, images_named, no_cid
from campaign.message.link_arrival import Bodies, check_sign_in_link, check_unsubscribe_link
from campaign.message.link_use import check_link_use
from campaign.message.links import LinkBuilder
from campaign.message.mime.bodies import with_newlines
from campaign.message.mime.headers import one_line
from campaign.message.template_errors import explained, located
from campaign.message.template_folder import TemplateFolder
from campaign.message.template_names import Names, names_used

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    from jinja2 import Environment, Template

    from campaign.config.definition import Definition


class TemplatePart(NamedTuple):
    """A template of a campaign as it was written: a file, or a field of the campaign file."""

    #: Its path, or the name of its field.
    where: str
    source: str
    tree: nodes.Template


#: Replaces the token when a template is rendered for an error text.
_NO_TOKEN = "..."  # noqa: S105 - it is none
#: Variables that the body templates get in addition to the columns.
_OURS = frozenset({"link", "link_to"})
_UNSUBSCRIBE = "unsubscribe"


class LinkData(NamedTuple):
    """What the links of one message carry."""

    #: The sign-in token; required if the campaign has a sign-in link.
    token: str | None
    #: The recipient's address, of which the sign-in link has a hint; empty for none.
    email: str = ""
    #: The unsubscribe link; required if the campaign has one.
    unsubscribe: str | None = None
    #: The tag by which the recipient asks for a new sign-in link; required if the campaign's links carry one.
    renewal: str | None = None


class Rendered(NamedTuple):
    """The rendered texts of one message. They contain the token, so never log or print them."""

    #: A single line.
    subject: str
    #: With newlines as line breaks, like `text`.
    html: str
    text: str
    #: The links that carry the token.
    links: tuple[str, ...]
    #: Those of them that `link_to` made.
    made_links: tuple[str, ...]
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
        self._names = Names()
        #: Every template that the messages are made of.
        self.parts: list[TemplatePart] = []
        self._domain = email.sender.rpartition("@")[2].rstrip(">")
        #: The images that the templates name as plain text, each with the place (`file:line`) of its first use.
        self.images: dict[str, str] = {}
        self._ours = _OURS if link else frozenset()
        self._has_unsubscribe = definition.unsubscribe is not None and definition.unsubscribe.url is not None
        self._html = self._compiled(
            templates.environment(self._folder, prepare=with_escaping, autoescape=True), email.html
        )
        self._text = self._compiled(templates.environment(self._folder), email.text) if email.text else None
        self._folder.seal()

        where = f"{definition.path}: email.subject"
        tree = templates.parse(templates.environment(), email.subject, where)
        if self._ours & names_used(tree).keys():
            raise TemplateError(f"{where}: The subject must not contain a sign-in link; remove it.")
        self._names.add(where, tree)
        self.parts.append(TemplatePart(where, email.subject, tree))
        self._subject = templates.compile_source(templates.environment(), email.subject, where)
        self._link: LinkBuilder | None = None
        if link is not None:
            where = f"{definition.path}: link.url"
            self._link = LinkBuilder(
                link.url, link.parameter, link.hosts, hint=link.hint, renew=link.renew, where=where
            )
            self._names.add(where, self._link.tree)
            self._check_fixed_links(self._link)
            self.parts.append(TemplatePart(where, link.url, self._link.tree))
        self._has_renewal = link is not None and link.renew
        self._globals = dict(self._subject.globals)
        #: A hash of everything that the campaign's mails are made of.
        self.fingerprint = sha256(
            repr(
                (
                    sorted(self._folder.sources.items()),
                    email.sender,
                    email.reply_to,
                    email.subject,
                    link and (link.url, link.parameter, link.hint, *(["renew"] if link.renew else [])),
                    definition.unsubscribe,
                )
            ).encode("utf-8", "backslashreplace")
        ).hexdigest()

    def _compiled(self, env: Environment, path: Path) -> Template:
        """Compile a template, record the names it uses, and check that it uses the link."""
        name = self._folder.name_of(path)
        trees = templates.load(env, self._folder, name)
        for each, tree in trees.items():
            where = self._folder.path_of(each)
            self._names.add(where, tree)
            self.images = images_named(tree, where) | self.images
            if where not in {part.where for part in self.parts}:
                self.parts.append(TemplatePart(where, self._folder.written[each], tree))
        if self._ours:
            check_link_use({self._folder.path_of(each): tree for each, tree in trees.items()})
        if self._ours and not any(self._ours & names_used(tree).keys() for tree in trees.values()):
            raise TemplateError(
                f"{self._folder.path_of(name)}: The sign-in link is missing: put {{{{ link }}}} where people should "
                "click, or remove [link] from the campaign file."
            )
        if self._has_unsubscribe and not any(_UNSUBSCRIBE in names_used(tree) for tree in trees.values()):
            raise TemplateError(
                f"{self._folder.path_of(name)}: The unsubscribe link is missing: put {{{{ unsubscribe }}}} where "
                "people should click, or write none instead of url in [unsubscribe]."
            )
        return env.get_template(name)

    def _check_fixed_links(self, builder: LinkBuilder) -> None:
        """Check the paths and addresses that `link_to` is given as they are, which are the same for every row."""
        for part in self.parts:
            for call in part.tree.find_all(nodes.Call):
                match call:
                    case nodes.Call(node=nodes.Name(name="link_to"), args=[nodes.Const(value=str(address))]):
                        try:
                            builder.check_place(address)
                        except RowError as error:
                            raise TemplateError(f"{located(part.where, call.lineno)}: {error}") from None

    @property
    def files(self) -> list[str]:
        """The files that the message is made of, in the order of their names."""
        return sorted(self._folder.path_of(name) for name in self._folder.sources)

    def variables_used(self) -> Mapping[str, str]:
        """Return the columns that the templates expect, each with the place (`file:line`) of its first use."""
        ours = self._ours | {CID} | ({_UNSUBSCRIBE} if self._has_unsubscribe else frozenset())
        return self._names.outside(ours=ours)

    def render(self, variables: Mapping[str, Any], data: LinkData) -> Rendered:
        """Return the rendered texts for one recipient.

        Args:
            variables: the recipient's columns by name.
            data: what the links carry.

        Raises:
            TemplateError: the templates cannot be rendered with these variables, or a body does not contain a link;
                the text names the template's file and line and never contains the token.
            ValueError: the token or the tag is missing.
        """
        return self._render(variables, data, finish=True)

    def check(self, variables: Mapping[str, Any], data: LinkData) -> str:
        """Render all templates for one recipient and return the subject; skip CSS inlining and the derived text part.

        Raises:
            TemplateError, ValueError: see `render`.
        """
        return self._render(variables, data, finish=False).subject

    def _render(self, variables: Mapping[str, Any], data: LinkData, *, finish: bool) -> Rendered:
        token = data.token
        if self._link is not None and not token:
            raise ValueError("This campaign has a link, so every message needs a token.")
        if self._has_renewal and not data.renewal:
            raise ValueError("The links of this campaign can be renewed, so every message needs a tag for it.")
        try:
            context, links = self._context(variables, data)
            subject = one_line(templates.render(self._subject, context))
            images: list[str] = []
            context[CID] = cid_into(images, self._domain)
            html = templates.render(self._html, context)
            html = with_newlines(inline_css(html) if finish else html)
            text = None
            if self._text is not None:
                context[CID] = no_cid
                text = with_newlines(templates.render(self._text, context))
            if text is None and finish:
                text = text_of(html)
        except Exception as error:  # noqa: BLE001 - a template can raise anything
            raise self._explained(error, variables, data) from None
        text_source = self._html if self._text is None else self._text
        bodies = Bodies(html, text, str(self._html.filename), str(text_source.filename))
        arrived = check_sign_in_link(bodies, links, token) if self._link is not None and token else ()
        if data.unsubscribe:
            check_unsubscribe_link(bodies, data.unsubscribe)
        made = tuple(link for link in arrived if link != links[0])
        return Rendered(subject, html, text or "", arrived, made, tuple(images))

    def _context(self, variables: Mapping[str, Any], data: LinkData) -> tuple[dict[str, Any], list[str]]:
        """Return the variables of the templates, and a list that collects every link with the token."""
        context = {**self._globals, **variables}
        token = data.token or ""
        if data.unsubscribe:
            context[_UNSUBSCRIBE] = data.unsubscribe
        builder = self._link
        if builder is None:
            return context, []
        context["link"] = link = builder.link(variables, token, data.email, data.renewal or "")
        links = [link]

        def link_to(url: str) -> str:
            made = builder.link_to(url, token, data.email, data.renewal or "", variables=variables)
            links.append(made)
            return made

        context["link_to"] = link_to
        return context, links

    def _explained(self, error: Exception, variables: Mapping[str, Any], data: LinkData) -> TemplateError:
        """Return the error of a failed rendering; render again without the token, to keep it out of the text."""
        try:
            context, _ = self._context(variables, LinkData(_NO_TOKEN, "", data.unsubscribe, data.renewal))
        except TemplateError as again:
            return again
        body = context | {CID: cid_into([], self._domain)}
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
                known = context if template is self._subject else body
                return explained(again, known, str(template.filename))
        return RowError(
            f"{self._html.filename}: The HTML cannot be converted to a text part ({type(error).__name__}); "
            "give one with `text` in the campaign file."
        )
