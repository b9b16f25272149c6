"""Load and compile the templates of a campaign's folder with Jinja: `load`, `compile_source`, `render`.

Errors in a template name its file and line.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from itertools import islice
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
    from collections.abc import Callable, Generator
    from pathlib import Path

    from jinja2 import Environment

    Prepare = Callable[[Environment, str, str], str]

#: At most this many files are searched for a name similar to a missing template.
_MAX_FILES_WALKED = 1000
#: The endings of files that a template may include. Others in the folder may hold keys, settings or recipients.
_INCLUDABLE = frozenset({".html", ".htm", ".txt", ".css", ".j2", ".jinja", ".jinja2", ".mjml", ".md", ".svg"})
_REFERENCES = (nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)


class TemplateFolder:
    """Reads templates from a campaign's folder.

    Each file is read once. A name that leads out of the folder, directly or by a symbolic link, is refused. After
    `seal` no file is read, so that editing a template during a run cannot change the remaining mails.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._inside = root.resolve()
        self._sealed = False
        #: The text of each template that was read, by name.
        self.sources: dict[str, str] = {}

    def name_of(self, path: Path) -> str:
        """Return the template name of a file, given by its path or relative to the folder.

        Raises:
            TemplateError: the file is outside the folder.
        """
        given = path.is_absolute() or path.is_relative_to(self._root)
        name = os.path.relpath(path if given else self._root / path, self._root)
        if name.startswith(os.pardir):
            raise TemplateError(f"{path}: A template must be in the campaign's folder, {self._root}.")
        return name.replace(os.sep, "/")

    def path_of(self, name: str) -> str:
        """Return the path of a template for error texts."""
        return str(self._root / name)

    def seal(self) -> None:
        """Stop reading files: only templates that were read before can be used."""
        self._sealed = True

    def read(self, name: str) -> str:
        """Return the source of a template.

        Raises:
            TemplateNotFound: the file does not exist, or the folder is sealed.
            TemplateError: the file is outside the folder, cannot be read, or is not UTF-8.
        """
        if name not in self.sources:
            path = self._root / name
            if not path.resolve().is_relative_to(self._inside):
                raise TemplateError(f"{path}: A template must be in the campaign's folder, {self._root}.")
            if self._sealed or not path.is_file():
                raise TemplateNotFound(name)
            self.sources[name] = _read(path)
        return self.sources[name]

    def nearest(self, name: str) -> str:
        """Return a hint for an error text: the file with the most similar name, or else the folder that is searched."""
        known = [self.name_of(path) for path in islice(self._root.rglob("*.*"), _MAX_FILES_WALKED)]
        found = get_close_matches(name, known, n=1)
        return f"did you mean {found[0]}?" if found else f"campaign looks for templates in {self._root}."


class _Loader(BaseLoader):
    def __init__(self, folder: TemplateFolder, prepare: Prepare) -> None:
        self._folder = folder
        self._prepare = prepare

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        source, where = self._folder.read(template), self._folder.path_of(template)
        parse(environment, source, where)
        return self._prepare(environment, source, where), where, lambda: True


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TemplateError(f"{path}: The template is not UTF-8 ({error.reason}); save it as UTF-8.") from None
    except OSError as error:
        raise TemplateError(f"{path}: The template cannot be read: {error.strerror}.") from None


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
    env = cast("LimitedEnvironment", template.environment)
    parts = template.root_render_func(env.context_class(env, variables, template.name, template.blocks))
    return env.work.joined(cast("Generator[str]", parts))


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
