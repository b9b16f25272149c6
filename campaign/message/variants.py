"""Compile a campaign's messages, one for each step and locale: `CampaignMessages`."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

from campaign.errors import CannotStartError, TemplateError
from campaign.message import MessageTemplate
from campaign.message.mime.headers import split_mailbox

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from campaign.config.definition import Definition


#: The names of a step and a locale.
VariantKey = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class MessageVariant:
    """The message of one step in one locale."""

    #: Empty in a campaign without `[[steps]]`.
    step: str
    #: Empty in a campaign without `[locales]`.
    locale: str
    #: The campaign as this step and locale see it.
    definition: Definition
    template: MessageTemplate
    #: From's address, without its name.
    sender: str

    @property
    def key(self) -> VariantKey:
        """The names of its step and its locale."""
        return self.step, self.locale


class CampaignMessages:
    """The compiled messages of a campaign.

    Args:
        definition: the campaign file.
        variants: one for each step and locale, in the order of the file.
    """

    def __init__(self, definition: Definition, variants: Sequence[MessageVariant]) -> None:
        self._definition = definition
        self._variants = {variant.key: variant for variant in variants}
        #: A hash of everything that the campaign's mails are made of.
        self.fingerprint = variants[0].template.fingerprint
        if len(variants) > 1:
            parts = [(*key, variant.template.fingerprint) for key, variant in self._variants.items()]
            self.fingerprint = sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()

    @classmethod
    def load(cls, definition: Definition) -> Self:
        """Return the compiled messages of a campaign.

        Raises:
            TemplateError: a template is missing, malformed or unsafe; the text has a line for each fault, which names
                file, line, and the step and locale unless it is the same for all.
            DefinitionError: the sender or the Reply-To is not valid in a header.
        """
        variants: list[MessageVariant] = []
        faults: dict[VariantKey, list[str]] = {}
        for seen in definition.variants:
            try:
                template = MessageTemplate.load(seen)
                sender = split_mailbox(seen.email.sender)[1]
                variants.append(MessageVariant(seen.step, seen.locale, seen, template, sender))
            except CannotStartError as error:
                fault = error
                faults[seen.step, seen.locale] = str(error).splitlines()
        if faults:
            every = [(seen.step, seen.locale) for seen in definition.variants]
            raise type(fault)("\n".join(said_once(faults, every)))
        return cls(definition, variants)

    def __iter__(self) -> Iterator[MessageVariant]:
        """Iterate over all variants, in the order of the file."""
        return iter(self._variants.values())

    def __len__(self) -> int:
        """Return the number of variants."""
        return len(self._variants)

    @property
    def keys(self) -> list[VariantKey]:
        """The steps and locales of all variants, in the order of the file."""
        return list(self._variants)

    def of(self, step: str, variables: Mapping[str, Any]) -> MessageVariant:
        """Return the variant of a step that a row gets: in its own locale, or else in the default one."""
        return self._variants[step, self._locale_of(variables)]

    def in_locale(self, step: str, locale: str) -> MessageVariant:
        """Return the variant of a step in a locale."""
        return self._variants[step, locale]

    def of_row(self, variables: Mapping[str, Any]) -> list[MessageVariant]:
        """Return the variant of each step that a row gets, in the order of the steps."""
        locale = self._locale_of(variables)
        return [self._variants[step, locale] for step in self._definition.step_names]

    def _locale_of(self, variables: Mapping[str, Any]) -> str:
        return self._definition.locale_of(variables) if self._definition.locale_column else ""

    def name(self, variant: MessageVariant) -> str:
        """Return what tells a variant from the others, such as `step second, locale de`; empty without others."""
        return "" if len(self) == 1 else _named({variant.key}, self.keys)

    def fault(self, variant: MessageVariant, error: TemplateError) -> TemplateError:
        """Return an error of rendering a variant, which names the variant if there are others."""
        name = self.name(variant)
        return type(error)(f"{error} ({name})") if name else error


def said_once(
    lines: Mapping[VariantKey, Iterable[str]],
    every: Collection[VariantKey],
    *,
    used: Collection[VariantKey] | None = None,
) -> Iterator[str]:
    """Yield each line once, and behind it the steps and locales that it concerns, unless it concerns all.

    Args:
        lines: what is to be said of each step and locale.
        every: all steps and locales.
        used: those that rows have, if others do not count; None: all.
    """
    counted = list(used or every)
    concerned: dict[str, set[VariantKey]] = {}
    for key, said in lines.items():
        for line in said:
            concerned.setdefault(line, set()).add(key)
    for line, keys in concerned.items():
        among = counted if keys <= set(counted) else every
        yield line if keys >= set(counted) else f"{line} ({_named(keys, among)})"


def _named(some: Collection[VariantKey], every: Collection[VariantKey]) -> str:
    """Return a name for some of all steps and locales: by the steps alone if it is so in all locales, or vice versa."""
    steps, locales = (list(dict.fromkeys(key[part] for key in every if key in some)) for part in (0, 1))
    all_steps, all_locales = ({key[part] for key in every} for part in (0, 1))
    by_step = f"step{'s' * (len(steps) > 1)} {', '.join(steps)}" if len(all_steps) > 1 else ""
    by_locale = f"locale{'s' * (len(locales) > 1)} {', '.join(locales)}" if len(all_locales) > 1 else ""
    if set(some) != {(step, locale) for step in steps for locale in locales}:
        return "; ".join(_named({key}, every) for key in every if key in some)
    return ", ".join(
        name
        for name, names, of_all in ((by_step, steps, all_steps), (by_locale, locales, all_locales))
        if name and len(names) < len(of_all)
    )
