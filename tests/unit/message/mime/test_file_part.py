"""A file as a MIME part: an independent parser reads the same file under the same name."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.message.mime.file_part import content_id, file_part, media_type_of

#: Characters that are special in a parameter, and others that need encoding.
NAMES = st.text(st.sampled_from([*"aZ9 .-_'\"%*=?;()<>@,:[]", "é", "ß", "字", "😀"]), min_size=1, max_size=40).filter(
    lambda name: name == name.strip()
)


@given(content=st.binary(max_size=400), name=NAMES)
def test_a_file_comes_back_as_it_was(content: bytes, name: str) -> None:
    """Content and name of any file are read back by the standard library, without a defect."""
    part = file_part(content, name=name, media_type="application/pdf", delimiter=b"--x")
    delimiter, _, rest = part.partition(b"\r\n")
    assert delimiter == b"--x"
    assert rest.endswith(b"\r\n")
    assert all(len(line) <= 998 for line in rest.split(b"\r\n"))
    found = message_from_bytes(rest, policy=default)
    assert found.get_content() == content
    # `get_filename` takes off what it sees as quotes a second time, as of `<>`
    assert found["Content-Disposition"].params["filename"] == name
    assert found.get_content_disposition() == "attachment"
    assert found.defects == []
    assert [defect for header in found.values() for defect in header.defects] == []


@pytest.mark.parametrize("size", [0, 56, 57, 58, 114, 100_000])
def test_the_lines_are_those_of_base64(size: int) -> None:
    """Each encoded line has at most 76 characters, and only the last one has fewer."""
    body = file_part(b"x" * size, name="a", media_type="image/png", delimiter=b"--x").partition(b"\r\n\r\n")[2]
    *full, last, end = [b"", *body.split(b"\r\n")]
    assert end == b""
    assert all(len(line) == 76 for line in full[1:])
    assert len(last) <= 76


def test_an_image_has_the_id_that_the_html_names() -> None:
    """An inline image is `inline` and has its Content-ID, which tells nothing of the file's name."""
    cid = content_id("secret-offer.png", "acme.example")
    assert "secret" not in cid
    part = file_part(b"x", name="a.png", media_type="image/png", delimiter=b"--x", cid=cid)
    found = message_from_bytes(part.partition(b"\r\n")[2], policy=default)
    assert found["Content-ID"] == f"<{cid}>"
    assert found.get_content_disposition() == "inline"
    assert content_id("b.png", "acme.example") != cid


@pytest.mark.parametrize("name", ["", " ", "a/b", "a\\b", "a\r\nX: 1", "a\x00", "a\u202efdp.exe", "x" * 256, "é" * 128])
def test_a_name_that_deceives_is_refused(name: str) -> None:
    """A name with slashes, controls or marks that reorder text, or of more than 255 bytes, is an error."""
    with pytest.raises(ValueError, match="cannot be the name of a file"):
        file_part(b"x", name=name, media_type="image/png", delimiter=b"--x")


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.pdf", "application/pdf"),
        ("A.PNG", "image/png"),
        ("a.ics", "text/calendar"),
        ("a.tar.gz", "application/gzip"),
        ("a.eml", "application/octet-stream"),
        ("a", "application/octet-stream"),
        ("a.unheard-of", "application/octet-stream"),
    ],
)
def test_the_ending_gives_the_type(name: str, media_type: str) -> None:
    """A file's ending gives its type, the same on every machine; a composite type would not be valid in base64."""
    assert media_type_of(name) == media_type


@pytest.mark.parametrize(("content", "charset"), [("é".encode(), "utf-8"), (b"\xe9", None)])
def test_a_text_file_says_that_it_is_utf8(content: bytes, charset: str | None) -> None:
    """A text file in UTF-8 has its charset, without which readers take it for ASCII; no other charset is guessed."""
    part = file_part(content, name="a.txt", media_type="text/plain", delimiter=b"--x")
    found = message_from_bytes(part.partition(b"\r\n")[2], policy=default)
    assert found.get_content_charset() == charset
