"""Find the inline images that templates name as plain text, as in `{{ cid("logo.png") }}`: `images_named`."""

from __future__ import annotations

from jinja2 import nodes


def images_named(tree: nodes.Template, where: str) -> dict[str, str]:
    """Return the files that a template gives to `cid`, each with the place (`file:line`) of its first use.

    A name that is computed is not among them: it can be another one for each recipient.

    Args:
        tree: the template's syntax tree.
        where: the template's file.
    """
    found: dict[str, str] = {}
    for call in tree.find_all(nodes.Call):
        match call:
            case nodes.Call(node=nodes.Name(name="cid"), args=[nodes.Const(value=str(name))]):
                found.setdefault(name, f"{where}:{call.lineno}")
    return found
