"""Files under the name of a checkpoint's file that are none: a pointer, a web page, an error, an archive, a part.

Asked only about a file that could not be read as what its name says.
"""

from __future__ import annotations

import codecs
import os
import re
import textwrap
from pathlib import Path

LOOKED_AT_BYTES = 4096
SHOWN = 60
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
HUB = "fetch the real one, such as with `hf download REPO --local-dir FOLDER`"
LFS = "run `git lfs pull` in its folder"
ANNEX = "run `git annex get .` in its folder"
DVC = "run `dvc pull` in its folder"
LATER = f"wait a while, and {HUB}"
LOGIN = f"accept the terms on the repository's page, `hf auth login`, and {HUB}"
AGAIN = f"the download did not end: {HUB}"
UNPACK = f"unpack it, or {HUB}"
CONVERT = "pickled weights are never loaded: convert to safetensors"

# how a file begins, as bytes or as text; what it is; how to get the real one. The more special ones first.
MAGIC = (
    (b"PK\x03\x04", "a ZIP archive, as torch.save writes them", CONVERT),
    (b"\x80\x02", "a pickle", CONVERT),
    (b"\x80\x03", "a pickle", CONVERT),
    (b"\x80\x04", "a pickle", CONVERT),
    (b"\x80\x05", "a pickle", CONVERT),
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\xfd7zXZ\x00", "an xz archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"GGUF", "a GGUF file", f"convert it to safetensors, or {HUB}"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", f"convert it to safetensors, or {HUB}"),
)
SERVER_ERRORS = r"internal server error|bad gateway|service unavailable|gateway time-?out|upstream |5\d\d\b"
TEXTS = tuple(
    (re.compile(rf"\s*(?:HTTP/[\d.]+\s+)?(?:{pattern})", re.IGNORECASE | re.DOTALL), what, remedy)
    for pattern, what, remedy in (
        (r"version https?://(?:git-lfs|hawser)\b", "a pointer of Git LFS", LFS),
        (r"[./\w]*/annex/objects/", "a pointer of git-annex", ANNEX),
        (r"# xet version\b", "a pointer of Xet", HUB),
        (r"(?:outs|deps|md5|wdir|frozen):", "a pointer of DVC", DVC),
        (r"access to \S+ \S+ is restricted|cannot access gated|you (?:must|need to) ", "a server's refusal", LOGIN),
        (r"invalid |unauthori[sz]ed|forbidden|access denied|40[13]\b", "a server's refusal", LOGIN),
        (r"too many requests|rate limit|429\b", "a server's answer that it was asked too often", LATER),
        (SERVER_ERRORS, "a server's error", LATER),
        (r"(?:\w+ )?not found|404\b", "a server's answer that it has no such file", HUB),
        (r"<!doctype html|<html|<head|<body|<script|<!--", "a web page", HUB),
        (r"<\?xml|<error>", "a server's error in XML", HUB),
        (r'\{.{0,200}"(?:error|errors|message|detail)"\s*:', "a server's error in JSON", HUB),
    )
)
UNFINISHED = ("*.incomplete", "*.part", "*.partial", "*.crdownload", "*.aria2", "*.download")
HUB_FOLDER = Path(".cache", "huggingface", "download")  # in a folder that `hf download --local-dir` fills


def told(file: Path) -> str | None:
    """`NAME is …: what to do` of a file that is not what its name says; None where that cannot be told."""
    if (link := lost(file)) is not None:
        return link
    try:
        with open(file, "rb") as opened:
            start = opened.read(LOOKED_AT_BYTES)
    except OSError:
        return None
    text = _text(start)
    found = _found(start, text) or (None if text is None or _is_of_its_kind(file, text) else _other_text(text))
    return None if found is None else f"{file.name} is {found[0]}, not the file itself: {found[1]}"


def lost(file: Path) -> str | None:
    """The same of a link without a file behind it, None for every other path."""
    if not file.is_symlink() or file.exists():
        return None
    if "annex/objects" in os.readlink(file):
        return f"{file.name} is a link of git-annex, and its content is not here: {ANNEX}"
    return f"{file.name} is a link to a file that is not there: {AGAIN}"


def unfinished(folder: Path) -> str:
    """` (NAME is there, an unfinished download)`, or nothing."""
    places = (folder, folder / HUB_FOLDER)
    names = sorted(path.name for place in places for pattern in UNFINISHED for path in place.glob(pattern))
    return f" ({names[0]} is there, an unfinished download)" if names else ""


def _text(start: bytes) -> str | None:
    """The beginning of a file as text; None where it is none."""
    encoding = "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    try:
        # the last letter may be cut
        text = codecs.getincrementaldecoder(encoding)().decode(start).removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None
    return None if CONTROL.search(text) else text


def _is_of_its_kind(file: Path, text: str) -> bool:
    """A damaged JSON file is one all the same."""
    return file.suffix == ".json" and text.lstrip().startswith(("{", "["))


def _other_text(text: str) -> tuple[str, str]:
    return f"text ({textwrap.shorten(text, SHOWN, placeholder=' …')!r})", HUB


def _found(start: bytes, text: str | None) -> tuple[str, str] | None:
    """Returns the kind of a file with this beginning, and what to do."""
    if not start.strip(b"\0"):
        return ("zeros" if start else "empty"), AGAIN
    for magic, what, remedy in MAGIC:
        if start.startswith(magic):
            return what, remedy
    if text is None:
        return None
    return next(((what, remedy) for begins, what, remedy in TEXTS if begins.match(text)), None)
