"""Templates of a campaign: found in its folder, compiled once, and their faults told by file and line.

What is made of the rendered text (headers, bodies, links) lives elsewhere.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

from jinja2 import BaseLoader, StrictUndefined, Template, TemplateNotFound, TemplateSyntaxError, meta, nodes
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.sandbox import ImmutableSandboxedEnvironment

from campaign import filters
from campaign.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from jinja2 import Environment

#: How many names an error text lists.
_LISTED = 12
#: How many files a hint at a missing one is worth looking at.
_WALKED = 1000
_UNDEFINED = re.compile(r"'([^']+)' is undefined")
_NO_ATTRIBUTE = re.compile(r"has no attribute '([^']+)'")
#: How the templates of the campaign file itself (`email.subject`, `link.url`) are told from files.
_FIELDS = ("email.subject", "link.url")


class TemplateFolder(BaseLoader):
    """The files of a campaign's folder as sources of templates.

    Each file is read once. A name that leads out of the folder, also by a symbolic link, is refused. After
    `seal` nothing more is read, so that a template edited during a run cannot change half of its mails.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._inside = root.resolve()
        self._sealed = False
        #: The text of every template that was read, by its name.
        self.sources: dict[str, str] = {}

    def name_of(self, path: Path) -> str:
        """Return the name of a file of the folder, given by its path or relative to the folder.

        Raises:
            TemplateError: it lies outside.
        """
        given = path.is_absolute() or path.is_relative_to(self._root)
        name = os.path.relpath(path if given else self._root / path, self._root)
        if name.startswith(os.pardir):
            raise TemplateError(f"{path}: A template must lie in the campaign's folder, {self._root}.")
        return name.replace(os.sep, "/")

    def path_of(self, name: str) -> Path:
        """Return the path of a template, as error texts show it."""
        return self._root / name

    def seal(self) -> None:
        """Read nothing more from now on."""
        self._sealed = True

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """Return source, file and freshness, as Jinja asks for them.

        Raises:
            TemplateNotFound: there is no such file.
            TemplateError: it lies outside the folder or is not UTF-8.
        """
        del environment
        path = self.path_of(template)
        if template not in self.sources:
            if not (self._root / template).resolve().is_relative_to(self._inside):
                raise TemplateError(f"{path}: A template must lie in the campaign's folder, {self._root}.")
            if self._sealed or not path.is_file():
                raise TemplateNotFound(template)
            self.sources[template] = _read(path)
        return self.sources[template], str(path), lambda: True

    def nearest(self, name: str) -> str:
        """Return a hint at the file whose name comes nearest, or at where files are looked for."""
        known = [self.name_of(path) for path in sorted(self._inside_files())]
        found = get_close_matches(name, known, n=1)
        return f"did you mean {found[0]}?" if found else f"templates are looked for in {self._root}."

    def _inside_files(self) -> Iterable[Path]:
        for number, path in enumerate(self._root.rglob("*.*")):
            if number > _WALKED:
                return
            yield path


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
    autoescape: bool = False,
    finalize: Callable[[object], str] | None = None,
) -> Environment:
    """Return a sandboxed environment in which an undefined variable is an error.

    Args:
        folder: where templates come from; without it there is nothing to include.
        autoescape: HTML, whatever the file is called.
        finalize: what every value passes before it is put in.
    """
    made = ImmutableSandboxedEnvironment(
        loader=folder,
        autoescape=autoescape,
        undefined=StrictUndefined,
        finalize=finalize,
        cache_size=-1,
        auto_reload=False,
    )
    made.filters |= {"number": filters.number, "money": filters.money}
    return made


def parse(env: Environment, source: str, where: str) -> nodes.Template:
    """Return the syntax tree of a source.

    Raises:
        TemplateError: the syntax is wrong.
    """
    try:
        return env.parse(source, filename=where)
    except TemplateSyntaxError as error:
        raise TemplateError(f"{located(where, error.lineno)}: {sentence(error.message)}") from None


def compile_source(env: Environment, source: str | nodes.Template, where: str) -> Template:
    """Return the compiled template of a source that stands at `where`, a file or a field of the campaign file.

    Raises:
        TemplateError: the syntax is wrong, or a filter or test does not exist.
    """
    try:
        code = env.compile(source, filename=where)
        return Template.from_code(env, code, env.make_globals(None))
    except TemplateSyntaxError as error:
        raise TemplateError(f"{located(where, error.lineno)}: {sentence(error.message)}") from None


def load(env: Environment, folder: TemplateFolder, name: str) -> dict[str, nodes.Template]:
    """Return the syntax trees of a template and of all that it includes, extends or imports, by name.

    Raises:
        TemplateError: one is missing or malformed, or its name is made up only while rendering.
    """
    trees: dict[str, nodes.Template] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in trees:
            continue
        try:
            source, where, _ = folder.get_source(env, current)
        except TemplateNotFound:
            raise TemplateError(
                f"{folder.path_of(current)}: There is no such template; {folder.nearest(current)}"
            ) from None
        trees[current] = parse(env, source, where)
        for node in trees[current].find_all((nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)):
            waiting += _referenced(env, folder, node, where)
    for loaded in trees:
        try:
            env.get_template(loaded)
        except TemplateSyntaxError as error:
            where = str(folder.path_of(loaded))
            raise TemplateError(f"{located(where, error.lineno)}: {sentence(error.message)}") from None
    return trees


def _referenced(env: Environment, folder: TemplateFolder, node: nodes.Node, where: str) -> list[str]:
    try:
        wanted = cast("Any", node).template.as_const()
    except nodes.Impossible:
        wanted = None
    names = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise TemplateError(
            f"{where}:{node.lineno}: The name of another template must be written out, so that it can be "
            "loaded before anything is sent."
        )
    found = []
    for name in names:
        try:
            folder.get_source(env, name)
            found.append(name)
        except TemplateNotFound:
            continue
    if not found and not getattr(node, "ignore_missing", False):
        raise TemplateError(f"{where}:{node.lineno}: There is no template {names[0]}; {folder.nearest(names[0])}")
    return found


def names_used(tree: nodes.Template) -> dict[str, int]:
    """Return the variables that a template expects from outside, with the line of their first use."""
    wanted = meta.find_undeclared_variables(tree)
    lines: dict[str, int] = {}
    for node in tree.find_all(nodes.Name):
        if node.name in wanted and node.ctx == "load":
            lines[node.name] = min(node.lineno, lines.get(node.name, node.lineno))
    return lines


class Names:
    """The names that the templates of a campaign use and set, all of them together."""

    def __init__(self) -> None:
        self._used: dict[str, str] = {}
        self._set: set[str] = set()

    def add(self, where: str, tree: nodes.Template) -> None:
        """Take in a template that stands at `where`."""
        for name, line in names_used(tree).items():
            self._used.setdefault(name, located(where, line))
        self._set |= {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}

    def outside(self, ours: frozenset[str]) -> dict[str, str]:
        """Return the names that must be columns, with the place of their first use.

        Args:
            ours: names that the program itself provides.
        """
        provided = self._set | ours | DEFAULT_NAMESPACE.keys()
        return {name: where for name, where in self._used.items() if name not in provided}


def explained(error: Exception, variables: Mapping[str, object], where: str) -> TemplateError:
    """Return what a fault in rendering means, with the innermost template's file and line.

    Args:
        error: what was raised.
        variables: what the templates could use.
        where: the outermost template, for a fault that has no line.
    """
    trace, line = error.__traceback__, 0
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            where, line = template.filename, template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    text = sentence(str(error) or type(error).__name__)
    if found := _UNDEFINED.search(text):
        text = _unknown(found[1], variables)
    elif found := _NO_ATTRIBUTE.search(text):
        rows = [value for value in variables.values() if isinstance(value, list)]
        columns = {str(name) for row in rows for entry in row if isinstance(entry, dict) for name in entry}
        text = f"There is no {found[1]} here; {_choice(found[1], columns)}"
    elif not isinstance(error, TemplateError):
        text = f"{text[:-1]} ({type(error).__name__})."
    return TemplateError(f"{located(where, line)}: {text}")


def _unknown(name: str, variables: Mapping[str, object]) -> str:
    if name in ("link", "link_to"):
        return (
            f"There is no {name} here: it needs a [link] section in the campaign file, and a subject or "
            "link.url never has it."
        )
    columns = [column for column, value in variables.items() if not callable(value) and column != "link"]
    return f"There is no variable {name}; {_choice(name, columns)}"


def _choice(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    listed = ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
    return (f"did you mean {near[0]}? " if near else "") + (
        f"The columns are {listed}." if near else f"the columns are {listed}."
    )


def located(where: str, line: int) -> str:
    """Return `file:line`, or the field of the campaign file, which has no lines of its own."""
    return where if where.endswith(_FIELDS) or not line else f"{where}:{line}"


def sentence(text: str | None) -> str:
    """Return a library's words as a sentence on one line."""
    words = " ".join((text or "The template is wrong").split())
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "?", "!")) else ".")
