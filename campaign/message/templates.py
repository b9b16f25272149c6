"""Load and compile the templates of a campaign's folder with Jinja: `load`, `compile_source`, `render`.

Errors in a template name its file and line.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from jinja2 import BaseLoader, StrictUndefined, Template, TemplateNotFound, TemplateSyntaxError, nodes

from campaign.errors import TemplateError
from campaign.message import filters
from campaign.message.filters import shown
from campaign.message.foreign_syntax import foreign_syntax
from campaign.message.html import escaping as guards
from campaign.message.sandboxed_environment import LimitedEnvironment
from campaign.message.template_errors import located, sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2 import Environment

    from campaign.message.template_folder import TemplateFolder

    Prepare = Callable[[Environment, str, str], str]

#: The endings of files that a template may include. Others in the folder may hold keys, settings or recipients.
_INCLUDABLE = frozenset({".html", ".htm", ".txt", ".css", ".j2", ".jinja", ".jinja2", ".mjml", ".md", ".svg"})
_REFERENCES = (nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)


class _Loader(BaseLoader):
    def __init__(self, folder: TemplateFolder, prepare: Prepare) -> None:
        self._folder = folder
        self._prepare = prepare

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        source, where = self._folder.read(template), self._folder.path_of(template)
        parse(environment, source, where)
        return self._prepare(environment, source, where), where, lambda: True


def environment(
    folder: TemplateFolder | None = None,
    *,
    prepare: Prepare = lambda _env, source, _where: source,
    autoescape: bool = False,
    finalize: Callable[[object], str] | None = None,
) -> Environment:
    """Return a sandboxed environment in which an undefined variable is an error.

    Args:
        folder: the templates that can be included; None: a template can include no other.
        prepare: changes a source before it is compiled; called with environment, source and file.
        autoescape: whether values are escaped for HTML; the file's name does not matter.
        finalize: applied to each value before it is inserted.
    """
    made = LimitedEnvironment(
        loader=_Loader(folder, prepare) if folder else None,
        autoescape=autoescape,
        undefined=StrictUndefined,
        finalize=finalize,
        cache_size=-1,
        auto_reload=False,
    )
    if folder:
        made.lines = folder.lines
    made.filters |= {"number": filters.number, "money": filters.money} | guards.FILTERS
    return made


def parse(env: Environment, source: str, where: str) -> nodes.Template:
    """Return the syntax tree of a source.

    Raises:
        TemplateError: the syntax is wrong.
    """
    try:
        return env.parse(source, filename=where)
    except TemplateSyntaxError as error:
        lines = source.splitlines()
        line = lines[error.lineno - 1] if 0 < error.lineno <= len(lines) else ""
        text = foreign_syntax(error.message or "", line) or sentence(error.message)
        raise TemplateError(f"{located(where, error.lineno)}: {text}") from None


def compile_source(env: Environment, source: str, where: str) -> Template:
    """Return the compiled template of a source; `where` is its file or its field of the campaign file.

    Raises:
        TemplateError: the syntax is wrong, or a filter or test does not exist.
    """
    try:
        tree = parse(env, source, where)
        for node in tree.find_all(_REFERENCES) if env.loader is None else ():
            raise TemplateError(f"{located(where, node.lineno)}: Another template cannot be used here.")
        code = env.compile(tree, filename=where)
        return Template.from_code(env, code, env.make_globals(None))
    except TemplateSyntaxError as error:
        raise TemplateError(f"{located(where, error.lineno)}: {sentence(error.message)}") from None


def render(template: Template, variables: dict[str, Any]) -> str:
    """Render a template of an environment from `environment`; `variables` must also contain the template's globals.

    Unlike `Template.render`, it does not copy the variables, look up shared globals or rewrite the traceback.
    Pass any exception to `template_errors.explained`.
    """
    env: Any = template.environment  # a LimitedEnvironment
    parts = template.root_render_func(env.context_class(env, variables, template.name, template.blocks))
    text: str = env.work.joined(parts)
    return text


def load(env: Environment, folder: TemplateFolder, name: str) -> dict[str, nodes.Template]:
    """Return the syntax trees of a template and of all templates that it includes, extends or imports, by name.

    Raises:
        TemplateError: a template is missing or malformed, or its name is computed while rendering.
    """
    trees: dict[str, nodes.Template] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in trees:
            continue
        where = folder.path_of(current)
        try:
            trees[current] = parse(env, folder.read(current), where)
        except TemplateNotFound:
            raise TemplateError(f"{where}: This template does not exist; {folder.nearest(current)}") from None
        for node in trees[current].find_all(_REFERENCES):
            waiting += _referenced(folder, node, where)
    for loaded, tree in trees.items():
        where = folder.path_of(loaded)
        if env.autoescape:
            guards.check_tree(tree, where)
        try:
            env.get_template(loaded)
        except TemplateSyntaxError as error:
            raise TemplateError(f"{located(where, error.lineno)}: {sentence(error.message)}") from None
    return trees


def _referenced(folder: TemplateFolder, node: nodes.Node, where: str) -> list[str]:
    try:
        wanted = cast("Any", node).template.as_const()
    except nodes.Impossible:
        wanted = None
    names = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise TemplateError(
            f"{where}:{node.lineno}: Write the name of the other template as plain text, so that it can be "
            "loaded before anything is sent."
        )
    found = []
    for name in names:
        if not _may_be_included(name):
            raise TemplateError(
                f"{where}:{node.lineno}: A template cannot use {shown(name)}. It can use files of its folder that end "
                f"in {', '.join(sorted(_INCLUDABLE))} and whose path has no part that begins with a dot."
            )
        try:
            folder.read(name)
            found.append(name)
        except TemplateNotFound:
            continue
    if not found and not getattr(node, "ignore_missing", False):
        raise TemplateError(
            f"{where}:{node.lineno}: The template {names[0]} does not exist; {folder.nearest(names[0])}"
        )
    return found


def _may_be_included(name: str) -> bool:
    *folders, file = name.split("/")
    hidden = any(part.startswith(".") and part not in {".", ".."} for part in (*folders, file))
    return not hidden and os.path.splitext(file)[1].lower() in _INCLUDABLE  # noqa: PTH122 - a template's name is no path
