"""Compile an MJML template to an HTML template once: `compile_mjml`. The Jinja tags in it stay what they are.

Each tag is replaced by a word, and so is the HTML in mj-text and its like, which mrml would read as XML. mrml compiles
the document, and tags and HTML come back in place of the words. A newline is put at the end inside each tag, which
Jinja ignores: so each tag is on a line of its own, and its line in the HTML tells its line in the MJML.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from campaign.errors import TemplateError
from campaign.message.html.mjml_elements import HOLDS_HTML, MjmlError, MjmlPlace, may_hold_raw, read_elements
from campaign.message.html.parsed_template import NEWLINE, jinja_tags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment

    from campaign.message.html.mjml_elements import MjmlSpan

#: Stands for a Jinja tag, and for the content of an element that holds HTML.
_WORD = re.compile(r"zqtag(\d+)zq")
_CONTENT = re.compile(r"zqraw(\d+)zq")
#: The attributes of a start tag as mrml reads them: each has a value in quotes.
_ATTRIBUTES = re.compile(r"<[\w-]+(?:\s+[\w:.-]+\s*=\s*(?:\"[^\"]*\"|'[^'\"]*'))*\s*/?>|</[\w-]+\s*>")
#: We inline the rules of each `<style>`; mrml would move the tags between rows of a table to do it.
_INLINE = re.compile(r"\s+inline\s*=\s*(?:\"inline\"|'inline')")
#: MJML hides the preview by its colour as well, which spam filters count.
_PREVIEW = re.compile(r'(<div style="display:none;[^"]*?)color:#ffffff;')
_CLOSING = re.compile(r"[-+]?[%}]\}\Z")
_RAW = re.compile(r"\{%[-+]?\s*(?:end)?raw\s*[-+]?%\}")
_POSITION = re.compile(r"\b(\d+)\.\.(\d+)\b|\bposition (\d+)\b")
MISSING = "MJML needs the package mrml; type: pip install 'campaign[mjml]'"


class CompiledMjml(NamedTuple):
    """An HTML template that was made from MJML."""

    html: str
    #: The line in the MJML of each line of the HTML, both counted from 1; the first entry stands for no line.
    lines: tuple[int, ...]


class _Piece(NamedTuple):
    """A Jinja tag, or a whole `{% raw %}` block."""

    kind: str
    start: int
    end: int
    line: int


def compile_mjml(env: Environment, source: str, where: str) -> CompiledMjml:
    """Return the HTML template of an MJML template.

    Args:
        env: an environment with the tags' delimiters.
        source: the MJML, whose Jinja syntax is right.
        where: its file.

    Raises:
        TemplateError: mrml is not installed, or the document is not MJML; the text names file and line.
    """
    try:
        import mrml  # type: ignore[import-not-found,unused-ignore] # noqa: PLC0415 - an extra
    except ImportError:
        raise TemplateError(f"{where}: {MISSING}") from None
    source = NEWLINE.sub("\n", source)
    if found := _WORD.search(source) or _CONTENT.search(source):
        raise TemplateError(f"{where}:{_line(source, found.start())}: {found[0]} is a reserved word; write another.")
    pieces = _pieces(env, source)
    masked = _Masked(source, pieces)
    try:
        prefix, document, suffix = masked.placed()
    except MjmlError as error:
        raise TemplateError(f"{where}:{masked.line(error.position)}: {error.text}") from None
    try:
        # no fonts of other hosts but those of mj-font
        html = mrml.to_html(document, render_options=mrml.RenderOptions(fonts={})).content
    except Exception as error:  # noqa: BLE001 - mrml raises various errors
        raise TemplateError(f"{where}: MJML: {' '.join(str(error).split())}.") from None
    html = _PREVIEW.sub(r"\1", html, count=1)
    html = _CONTENT.sub(lambda found: masked.contents[int(found[1])], html)
    for number in sorted(masked.used - {int(found) for found in _WORD.findall(html)}):
        piece = pieces[number]
        raise TemplateError(
            f"{where}:{piece.line}: {source[piece.start : piece.end]} is in a place that MJML leaves out or computes "
            "with, such as a width; write a fixed value there."
        )
    return _restored(prefix + html + suffix, source, pieces)


def source_line(lines: Mapping[str, Sequence[int]], where: str, line: int) -> int:
    """Return the line in the source of a template's line; the same line if the template is its own source.

    Args:
        lines: the lines of each compiled template, by file.
        where: the template's file.
        line: counted from 1.
    """
    of_file = lines.get(where)
    return line if of_file is None else of_file[min(line, len(of_file) - 1)]


class _Masked:
    """A source with a word in place of each Jinja tag."""

    def __init__(self, source: str, pieces: Sequence[_Piece]) -> None:
        self._pieces = pieces
        self._source = source
        parts: list[str] = []
        #: Positions of the masked text, and those of the source that they stand for.
        self._masked_at, self._source_at = [0], [0]
        position = length = 0
        for number, piece in enumerate(pieces):
            word = "" if piece.kind == "comment" else f"zqtag{number:05}zq"
            parts += [source[position : piece.start], word]
            length += piece.start - position
            self._masked_at += [length, length + len(word)]
            self._source_at += [piece.start, piece.end]
            length += len(word)
            position = piece.end
        self._text = "".join([*parts, source[position:]])
        #: The numbers of the tags that are in the document.
        self.used: set[int] = set()
        #: The HTML that mrml does not see.
        self.contents: list[str] = []

    def line(self, position: int) -> int:
        """Return the line in the source of a position in the masked text."""
        at = bisect_right(self._masked_at, position) - 1
        return _line(self._source, self._source_at[at] + position - self._masked_at[at])

    def placed(self) -> tuple[str, str, str]:
        """Return what stands before the document, the document with each tag where mrml keeps it, and what follows.

        Raises:
            MjmlError: the document is not MJML, or a tag stands where it cannot.
        """
        before, document, after = "", "", ""
        for span in read_elements(self._text):
            text = self._text[span.start : span.end]
            if span.place is MjmlPlace.OUTSIDE:
                before, after = (before, after + text) if document else (before + text, after)
                continue
            if span.place is MjmlPlace.BETWEEN:
                text = self._between(span, text)
            elif span.place is MjmlPlace.TAG:
                self._check_tag(span, text)
                text = _INLINE.sub("", text) if span.element == "mj-style" else text
            elif span.element == "mj-title":
                text = text.replace('"', "&quot;")  # mrml puts the title into an attribute, too
            self.used |= {int(found) for found in _WORD.findall(text)}
            if span.place is MjmlPlace.CONTENT and span.element in HOLDS_HTML and text.strip():
                self.contents.append(text)
                text = f"zqraw{len(self.contents) - 1}zq"
            document += text
        return self._kept(before), document, self._kept(after)

    def _between(self, span: MjmlSpan, text: str) -> str:
        """Return a text between two elements with its statements in mj-raw."""
        if plain := _WORD.sub("", text).strip():
            at = span.start + text.index(plain.split()[0])
            raise MjmlError(f"{plain.split()[0][:40]!r} stands between two elements; put text into <mj-text>.", at)
        for found in _WORD.finditer(text):
            piece = self._pieces[int(found[1])]
            written = self._source[piece.start : piece.end]
            if piece.kind == "expression":
                raise MjmlError(
                    f"{written} stands between two elements; put it into <mj-text>.", span.start + found.start()
                )
            if not may_hold_raw(span.element):
                raise MjmlError(
                    f"{written} cannot stand directly in <{span.element}>; put it around or inside an element of it.",
                    span.start + found.start(),
                )
        return _WORD.sub(r"<mj-raw>\g<0></mj-raw>", text)

    def _check_tag(self, span: MjmlSpan, text: str) -> None:
        """Refuse tags outside of the quotes of an attribute, and attributes that mrml cannot read."""
        outside = re.sub(r"\"[^\"]*\"|'[^']*'", lambda quoted: " " * len(quoted[0]), text)
        if found := _WORD.search(outside):
            piece = self._pieces[int(found[1])]
            raise MjmlError(
                f"{self._source[piece.start : piece.end]} is outside the quotes of an attribute; put it inside them.",
                span.start + found.start(),
            )
        if not _ATTRIBUTES.fullmatch(text):
            raise MjmlError(
                f'The attributes of <{span.element}> must be written name="value", with &quot; for a quote in a value.',
                span.start,
            )

    @staticmethod
    def _kept(text: str) -> str:
        """Return the tags of a text outside of the document, without what is around them."""
        return "".join(found[0] for found in _WORD.finditer(text))


def _pieces(env: Environment, source: str) -> list[_Piece]:
    """Return the Jinja tags; a raw block is one piece."""
    pieces: list[_Piece] = []
    raw: _Piece | None = None
    for tag in jinja_tags(env, source):
        piece = _Piece(tag.kind, tag.start, tag.end, tag.line)
        if not _RAW.fullmatch(source[tag.start : tag.end]):
            pieces.append(piece)
        elif raw is None:
            raw = piece
        else:
            pieces.append(_Piece("expression", raw.start, tag.end, raw.line))
            raw = None
    return pieces


def _restored(html: str, source: str, pieces: Sequence[_Piece]) -> CompiledMjml:
    """Return the HTML with the tags in place of the words, and the line of each of its lines."""
    parts: list[str] = []
    lines = [1, 1]
    position = 0
    for found in _WORD.finditer(html):
        before, piece = html[position : found.start()], pieces[int(found[1])]
        tag = source[piece.start : piece.end]
        closing = _CLOSING.search(tag)
        at = closing.start() if closing else len(tag)
        parts += [before, tag[:at], "\n", tag[at:]]
        lines += [lines[-1]] * before.count("\n")
        lines[-1] = piece.line
        lines += [piece.line + more for more in range(1, tag.count("\n") + 1)]
        lines.append(lines[-1])
        position = found.end()
    rest = html[position:]
    lines += [lines[-1]] * rest.count("\n")
    return CompiledMjml("".join([*parts, rest]), tuple(lines))


def _line(source: str, position: int) -> int:
    return source.count("\n", 0, position) + 1
