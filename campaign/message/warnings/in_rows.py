"""Find accidents in the values and the message of one row: `RowAccidents`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from campaign.message.filters import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from campaign.message import Message
    from campaign.message.warnings.column_use import ColumnUse

#: Gmail shows about this many bytes of a message's HTML, and hides the rest behind "View entire message".
_CLIPPED_BYTES = 102 * 1024
#: What spreadsheets, databases and programs write where a value is missing.
_MISSING = (
    r"#N/A|#REF!|#VALUE!|#NAME\?|#DIV/0!|#NULL!|#NUM!|#SPILL!|#CALC!|#ERROR!|\(?null\)?|NULL|NaN|nan|None|undefined|\\N"
)
#: The bytes that continue a character in UTF-8, read as Windows-1252 or, where that has none, as Latin-1.
_CONTINUATION = "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(0x80, 0xC0))
#: UTF-8 that was read in another encoding: letters with accents, punctuation, emoji, a byte order mark.
_MOJIBAKE = rf"[ÃÂ][{re.escape(_CONTINUATION)}]|â€|ðŸ|ï»¿"
_SUSPECT = re.compile(rf"^(?:{_MISSING})$|\ufffd|{_MOJIBAKE}", re.MULTILINE)
_IS_MISSING = re.compile(_MISSING)
#: Words that a person writes for no; in a template every text that is not empty is true.
_NO = frozenset({"0", "0.0", "false", "no", "n", "off", "nein", "non", "falsch", "faux"})
_GREETING = (
    "hi|hello|hey|hej|hoi|dear|hallo|liebe[rs]?|guten (?:tag|morgen|abend)|good (?:morning|afternoon|evening)|ciao|"
    "hola|beste|estimad[oa]|querid[oa]|gentile"
)
#: A line that ends in a blank and a comma, or a greeting with a blank before its end: a name is missing between them.
_GAP = re.compile(
    rf"^[ \t]*((?:{_GREETING})[ \t\u00a0]+[,!.]|[^\n,]{{0,40}}\w[ \t\u00a0]+,[ \t]*$)", re.MULTILINE | re.IGNORECASE
)
_SUBJECT_GAP = re.compile(r"\w +[,!](?= |$)|^\s*[,!]")
#: Tags within a line, and what separates lines.
_INLINE = re.compile(r"</?(?:a|b|em|font|i|small|span|strong|u)\b[^>]*>", re.IGNORECASE)
_NO_TEXT = re.compile(r"<(style|title|script)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.DOTALL | re.IGNORECASE)


class RowAccidents:
    """Looks for accidents in the columns that the templates use."""

    def __init__(self, use: ColumnUse) -> None:
        self._use = use

    def of(self, variables: Mapping[str, Any], message: Message) -> Iterator[str]:
        """Yield a sentence for each accident of a row; rows with the same accident have the same sentence."""
        rows = [row for value in variables.values() if isinstance(value, list) for row in value]
        sources = [variables, *rows]
        use = self._use
        printed = [value for source in sources for name in use.printed if isinstance(value := source.get(name), str)]
        if _SUSPECT.search("\n".join(printed)):
            yield from self._suspect_values(sources)
        if not all(printed):
            yield from self._gaps(variables, message)
            for column, place in use.defaulted.items():
                if any(source.get(column) == "" for source in sources):
                    yield (
                        f"{column} is empty, and at {place} `default` replaces only a missing column; write "
                        f'{{{{ {column} | default("…", true) }}}}'
                    )
        yield from self._untrue(sources)
        yield from self._no_numbers(sources)
        if len(message.html) * 4 > _CLIPPED_BYTES and len(message.html.encode("utf-8", "replace")) > _CLIPPED_BYTES:
            yield (
                f"the HTML has more than {_CLIPPED_BYTES // 1024} kB, so Gmail shows only the beginning; shorten the "
                "template or its style"
            )

    def _suspect_values(self, sources: list[Mapping[str, Any]]) -> Iterator[str]:
        for column, place in self._use.printed.items():
            for value in {source.get(column) for source in sources if isinstance(source.get(column), str)}:
                if not isinstance(value, str) or not _SUSPECT.search(value):
                    continue
                if _IS_MISSING.fullmatch(value):
                    yield f'{column} is "{value}", which stands for a missing value; {place} prints it'
                elif "\ufffd" in value:
                    yield (
                        f"{column} holds U+FFFD, which stands for a character that was lost; {place} prints it. Export "
                        'the data again, as "CSV UTF-8"'
                    )
                elif _SUSPECT.search(value):
                    yield (
                        f"{column} holds UTF-8 that was read in another encoding, such as Ã© for é; {place} prints it. "
                        'Export the data again, as "CSV UTF-8"'
                    )

    def _gaps(self, variables: Mapping[str, Any], message: Message) -> Iterator[str]:
        empty = [column for column in self._use.printed if variables.get(column) == ""]
        if not empty:
            return
        found = _GAP.search(message.text) or _GAP.search(_NO_TEXT.sub("\n", _INLINE.sub("", message.html)))
        part = "subject" if (gap := _SUBJECT_GAP.search(message.subject)) else "text"
        if found or gap:
            words = message.subject if gap else found[1].strip() if found else ""
            yield (
                f"an empty value leaves {shown(words)} in the {part}; the empty columns are {', '.join(empty)}. Write "
                f'{{{{ {empty[0]} | default("there", true) }}}}, or {{% if {empty[0]} %}}'
            )

    def _untrue(self, sources: list[Mapping[str, Any]]) -> Iterator[str]:
        for column, place in self._use.tested.items():
            values = {value for source in sources if isinstance(value := source.get(column), str)}
            for value in sorted(values):
                if value.lower() in _NO:
                    yield (
                        f'{column} is "{value}", which is true in {{% if {column} %}} at {place}, as every text '
                        f'is that is not empty; compare it, as in {{% if {column} != "{value}" %}}'
                    )

    def _no_numbers(self, sources: list[Mapping[str, Any]]) -> Iterator[str]:
        for column, place in self._use.converted.items():
            if any(_is_no_number(source.get(column)) for source in sources):
                yield (
                    f"{column} is not written as a plain number, so at {place} `float` or `int` makes 0 of it; write "
                    f"{{{{ {column} | number }}}}, and the number like 1234.50"
                )


def _is_no_number(value: object) -> bool:
    if not isinstance(value, str) or not value:
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False
