"""Read the templates of a campaign's folder: `TemplateFolder`."""

from __future__ import annotations

import os
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING

from jinja2 import Environment, TemplateNotFound, TemplateSyntaxError

from campaign.errors import TemplateError
from campaign.message.foreign_syntax import foreign_syntax
from campaign.message.html.mjml import compile_mjml
from campaign.message.template_errors import located, sentence

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: At most this many files are searched for a name similar to a missing template.
_MAX_FILES_WALKED = 1000


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
        self.written: dict[str, str] = {}
        #: What Jinja compiles, by name: the text, or the HTML that an MJML template was compiled to.
        self.sources: dict[str, str] = {}
        #: The lines in the file of the lines of each compiled template, by path; see `html.mjml.source_line`.
        self.lines: dict[str, Sequence[int]] = {}

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
            TemplateError: the file is outside the folder, cannot be read, or is not UTF-8 or not MJML.
        """
        if name not in self.sources:
            path = self._root / name
            if not path.resolve().is_relative_to(self._inside):
                raise TemplateError(f"{path}: A template must be in the campaign's folder, {self._root}.")
            if self._sealed or not path.is_file():
                raise TemplateNotFound(name)
            self.written[name] = source = _read(path)
            self.sources[name] = self._compiled(name, source) if name.lower().endswith(".mjml") else source
        return self.sources[name]

    def _compiled(self, name: str, source: str) -> str:
        env, where = Environment(), self.path_of(name)  # noqa: S701 - it only finds the tags
        try:
            env.parse(source, filename=where)
        except TemplateSyntaxError as error:
            lines = source.splitlines()
            line = lines[error.lineno - 1] if 0 < error.lineno <= len(lines) else ""
            text = foreign_syntax(error.message or "", line) or sentence(error.message)
            raise TemplateError(f"{located(where, error.lineno)}: {text}") from None
        compiled = compile_mjml(env, source, where)
        self.lines[where] = compiled.lines
        return compiled.html

    def nearest(self, name: str) -> str:
        """Return a hint for an error text: the file with the most similar name, or else the folder that is searched."""
        known = [self.name_of(path) for path in islice(self._root.rglob("*.*"), _MAX_FILES_WALKED)]
        found = get_close_matches(name, known, n=1)
        return f"did you mean {found[0]}?" if found else f"campaign looks for templates in {self._root}."


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TemplateError(f"{path}: The template is not UTF-8 ({error.reason}); save it as UTF-8.") from None
    except OSError as error:
        raise TemplateError(f"{path}: The template cannot be read: {error.strerror}.") from None
