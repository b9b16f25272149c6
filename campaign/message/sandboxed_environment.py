"""The Jinja environment of all templates: no unsafe attributes, and limits on size and work: `LimitedEnvironment`."""

from __future__ import annotations

from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from jinja2 import TemplateSyntaxError, nodes
from jinja2.runtime import markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_eval_context

from campaign.message.filters import is_number
from campaign.message.html.mjml import source_line
from campaign.message.template_errors import calculates_with_text
from campaign.message.work_limit import CHARS_PER_STEP, WorkLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jinja2.nodes import EvalContext
    from jinja2.runtime import Context

#: Filters that can make a large text or do much work by a number or a text that they are given.
_WIDENING = ("batch", "center", "format", "indent", "join", "replace", "round", "slice", "tojson")
#: Names of the filters that count loops and `~`; a template cannot write them.
_PACED, _JOINED = " paced", " joined"


class LimitedEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox in which one rendering can neither fill the memory nor take minutes; see `WorkLimit`."""

    # An intercepted operator is not computed while compiling, either (jinja2.nodes.BinExpr.as_const).
    intercepted_binops = frozenset({"+", "*", "**", "%"})
    #: The lines in the file of the lines of each compiled template, by path.
    lines: Mapping[str, Sequence[int]] = MappingProxyType({})

    def __init__(self, *, finalize: Callable[[object], str] | None = None, **options: Any) -> None:  # noqa: ANN401 - Jinja's
        self.work = work = WorkLimit()

        def printed(value: object) -> object:
            if isinstance(value, str) and len(value) > CHARS_PER_STEP:
                work.printed(value)
            return finalize(value) if finalize else value

        super().__init__(finalize=printed, **options)
        # It makes text without end, and nobody mails it.
        del self.globals["lipsum"]
        self.filters |= {name: self._limited(name, self.filters[name]) for name in _WIDENING}
        self.filters |= {_PACED: work.paced, _JOINED: self._joined()}

    def concat(self, parts: Iterable[str]) -> str:
        """Return the text of a block or a macro, which compiled templates collect in parts."""
        return self.work.concat(parts)

    def getattr(self, obj: Any, attribute: str) -> Any:  # noqa: ANN401 - a template can name any object
        """Return an attribute, or a column of a row."""
        # `row.price` is the most common case; and a column called `items` must win over the dict method.
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401, N805, PYI063 - Jinja's
        """Call a function, a macro or a method, and count it."""
        __self.work.call()
        method = getattr(__obj, "__wrapped__", __obj)  # the sandbox wraps `format`
        if isinstance(text := getattr(method, "__self__", None), str):
            __self.work.check_arguments(method.__name__, (text, *args, *kwargs.values()))
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - any values
        """Return the result of an operator, after counting what it would make."""
        if operator == "*" and any(isinstance(value, str) and is_number(value) for value in (left, right)):
            raise calculates_with_text()  # Python would repeat the text: "3" * 2 is "33"
        self.work.check_operation(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        try:
            tree = super()._parse(source, name, filename)
        except TemplateSyntaxError as error:
            error.lineno = source_line(self.lines, filename or "", error.lineno)
            raise
        if filename is not None and filename in self.lines:
            for node in (tree, *tree.find_all(nodes.Node)):
                if node.lineno:
                    node.lineno = source_line(self.lines, filename, node.lineno)
        self.normalise(tree)
        return tree

    def normalise(self, tree: nodes.Template) -> None:
        """Write the names in a tree as columns are, in NFC; an editor may write `é` as two characters."""
        for name_node in tree.find_all(nodes.Name):
            name_node.name = normalize("NFC", name_node.name)
        for attribute in tree.find_all(nodes.Getattr):
            attribute.attr = normalize("NFC", attribute.attr)

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401 - Jinja's
        for loop in source.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, _PACED, [], [], None, None, lineno=loop.iter.lineno)
        _replace_concat(source)
        return super()._generate(source, *args, **kwargs)

    def _limited(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        # Jinja gives some filters a context first.
        first = 1 if hasattr(function, "jinja_pass_arg") else 0

        @wraps(function)
        def limited(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the filter
            self.work.check_arguments(name, (*args[first:], *kwargs.values()))
            return function(*args, **kwargs)

        return limited

    def _joined(self) -> Callable[..., str]:
        @pass_eval_context
        def joined(context: EvalContext, values: Iterable[object]) -> str:
            texts = [value if isinstance(value, str) else str(value) for value in values]
            self.work.spend(sum(map(len, texts)))
            return markup_join(values) if context.autoescape else str_join(texts)

        return joined


def _replace_concat(node: nodes.Node) -> None:
    """Replace each `~` below a node by a filter that counts what it makes."""
    for field, value in node.iter_fields():
        if isinstance(value, list):
            value[:] = [_counted(each) for each in value]
        elif isinstance(value, nodes.Concat):
            setattr(node, field, _counted(value))
    for child in node.iter_child_nodes():
        _replace_concat(child)


def _counted(node: Any) -> Any:  # noqa: ANN401 - a field's list also holds names
    if not isinstance(node, nodes.Concat):
        return node
    values = nodes.List(node.nodes, lineno=node.lineno)
    return nodes.Filter(values, _JOINED, [], [], None, None, lineno=node.lineno)
