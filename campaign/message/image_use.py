"""Show inline images with `{{ cid("logo.png") }}`: `cid_into` makes the function, `images_named` finds plain names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import nodes

from campaign.message.mime.file_part import content_id

if TYPE_CHECKING:
    from collections.abc import Callable

#: The function that the HTML calls for the address of an inline image.
CID = "cid"


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


def cid_into(images: list[str], domain: str) -> Callable[[object], str]:
    """Return `cid` for one message: it returns an image's URL (RFC 2392 §2), and adds its file to `images`.

    Args:
        images: the files that the message shows.
        domain: the domain of Content-IDs.
    """

    def cid(name: object) -> str:
        images.append(str(name))
        return f"cid:{content_id(str(name), domain)}"

    return cid


def no_cid(_name: object) -> str:
    """Return nothing: a text shows no image."""
    return ""
