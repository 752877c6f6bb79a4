"""What comes with the form of manifests: texts with their names, files, and how they are to be applied.

Nothing that was typed is lost: a file takes the place of its own earlier text only, and what cannot be taken is told.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from cloud_hub.access.guard import MAX_BODY_BYTES
from cloud_hub.errors import HubError, Invalid, TooLarge
from cloud_hub.manifests.source import MAX_CHARACTERS
from cloud_hub.manifests.views import ManifestFile

PASTED = "manifest.yaml"
_NO_NAME = re.compile(r"[\x00-\x1f\x7f]+")
_MOST_BYTES_A_CHARACTER = 4
_BREAK = re.compile("\r\n?")


@dataclass(frozen=True)
class Sent:
    """What came with the form."""

    files: tuple[ManifestFile, ...] = ()
    read: Mapping[str, str] = field(default_factory=dict)
    """By name, the mark of the text as a file brought it; of what is typed, none."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """How files are called that came beside another text of their name, by that name."""
    again: bool = False
    by: str = ""
    key: str = ""
    seen: str = ""
    refused: HubError | None = None


async def sent(request: Request) -> Sent:
    """What `request` brings. Texts that are blank are none."""
    # Whatever comes in at all: what is pasted is shown again, also when it is too much.
    form = await request.form(max_part_size=MAX_BODY_BYTES)
    texts = {name: value for name, value in form.items() if isinstance(value, str)}
    files, read = _typed(form, texts.get("without", ""))
    untouched = {name for name, text in files.items() if read[name] == _mark(text)}
    beside: dict[str, str] = {}
    refused: HubError | None = None
    for upload in form.getlist("upload"):
        if not isinstance(upload, UploadFile) or not upload.filename:
            continue
        try:
            text = await _text(upload, upload.filename)
            name = kept = _named(upload.filename)
            if name not in untouched and files.get(name, text) != text:
                kept = _free(name, files)
            # A folder of them would come back as a page that is larger than all of it.
            if (total := sum(len(one) for one in (files | {kept: text}).values())) > MAX_CHARACTERS:
                raise _too_large(f"{upload.filename} and what is here have {total:,} characters")
        except (Invalid, TooLarge) as error:
            refused = error
            continue
        if kept != name:
            beside[name] = kept
        untouched.discard(name)
        files[kept], read[kept] = text, _mark(text)
    return Sent(
        files=tuple(ManifestFile(name=name, text=text) for name, text in files.items()),
        read=read,
        beside=beside,
        again="again" in texts,
        by=texts.get("by", ""),
        key=texts.get("key", ""),
        seen=texts.get("seen", ""),
        refused=refused,
    )


def _typed(form: FormData, without: str) -> tuple[dict[str, str], dict[str, str]]:
    """The texts by name, and their marks."""
    files: dict[str, str] = {}
    read: dict[str, str] = {}
    names, texts, marks = (_strings(form.getlist(one)) for one in ("name", "text", "read"))
    for index, (name, text, mark) in enumerate(zip_longest(names, texts, marks, fillvalue="")):
        if text.strip() and str(index) != without:
            kept = _free(_named(name), files)
            # Forms send their lines' ends as in mail.
            files[kept], read[kept] = _BREAK.sub("\n", text), mark
    return files, read


async def _text(upload: UploadFile, name: str) -> str:
    """Raises `Invalid`, `TooLarge`."""
    if (upload.size or 0) > _MOST_BYTES_A_CHARACTER * MAX_CHARACTERS:
        raise _too_large(f"{name} has {upload.size:,} bytes")
    try:
        text = _BREAK.sub("\n", (await upload.read()).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Invalid(
            f"{name} is no text: {error}.", "Save it as YAML in UTF-8.", code="manifest-unreadable"
        ) from error
    if len(text) > MAX_CHARACTERS:
        raise _too_large(f"{name} has {len(text):,} characters")
    return text


def _too_large(what: str) -> TooLarge:
    return TooLarge(
        f"{what}, and {MAX_CHARACTERS:,} characters are taken at once.",
        "Choose a smaller file.",
        code="manifests-too-large",
    )


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _strings(values: Sequence[object]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def _named(name: str) -> str:
    return _NO_NAME.sub(" ", name).strip()[:200] or PASTED


def _free(name: str, taken: Mapping[str, str]) -> str:
    """`name`, or one like it that nothing has."""
    stem, dot, ending = name.rpartition(".")
    free, number = name, 2
    while free in taken:
        free = f"{stem}-{number}{dot}{ending}" if stem else f"{name}-{number}"
        number += 1
    return free
