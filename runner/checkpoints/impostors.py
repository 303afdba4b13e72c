"""Files that are not what their names say: a pointer, a web page, an error, an archive, a partial download.

Used only for a file that could not be read.
"""

from __future__ import annotations

import codecs
import os
import re
import textwrap
from pathlib import Path

START_BYTES = 4096
SHOWN_CHARACTERS = 60
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

# a file's start, as bytes or as text; its kind; how to get the real file. More specific entries come first.
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
    (re.compile(rf"\s*(?:HTTP/[\d.]+\s+)?(?:{pattern})", re.IGNORECASE | re.DOTALL), kind, remedy)
    for pattern, kind, remedy in (
        (r"version https?://(?:git-lfs|hawser)\b", "a pointer of Git LFS", LFS),
        (r"[./\w]*/annex/objects/", "a pointer of git-annex", ANNEX),
        (r"# xet version\b", "a pointer of Xet", HUB),
        (r"(?:outs|deps|md5|wdir|frozen):", "a pointer of DVC", DVC),
        (r"access to \S+ \S+ is restricted|cannot access gated|you (?:must|need to) ", "a server's refusal", LOGIN),
        (r"invalid |unauthori[sz]ed|forbidden|access denied|40[13]\b", "a server's refusal", LOGIN),
        (r"too many requests|rate limit|429\b", "a server's error (too many requests)", LATER),
        (SERVER_ERRORS, "a server's error", LATER),
        (r"(?:\w+ )?not found|404\b", "a server's error (file not found)", HUB),
        (r"<!doctype html|<html|<head|<body|<script|<!--", "a web page", HUB),
        (r"<\?xml|<error>", "a server's error in XML", HUB),
        (r'\{.{0,200}"(?:error|errors|message|detail)"\s*:', "a server's error in JSON", HUB),
    )
)
UNFINISHED = ("*.incomplete", "*.part", "*.partial", "*.crdownload", "*.aria2", "*.download")
HUB_FOLDER = Path(".cache", "huggingface", "download")  # in a folder that `hf download --local-dir` fills


def description(file: Path) -> str | None:
    """Returns `NAME is …: what to do` for a file that is not what its name says, or None if that is unknown."""
    if (link := broken_link(file)) is not None:
        return link
    try:
        with open(file, "rb") as opened:
            start = opened.read(START_BYTES)
    except OSError:
        return None
    text = _text(start)
    kind = _kind(start, text) or (None if text is None or _is_of_its_kind(file, text) else _other_text(text))
    return None if kind is None else f"{file.name} is {kind[0]}, not the file itself: {kind[1]}"


def broken_link(file: Path) -> str | None:
    """Returns the same for a link without a file behind it, or None for any other path."""
    if not file.is_symlink() or file.exists():
        return None
    if "annex/objects" in os.readlink(file):
        return f"{file.name} is a link of git-annex, and its content is not here: {ANNEX}"
    return f"{file.name} is a link to a file that is not there: {AGAIN}"


def unfinished(folder: Path) -> str:
    """Returns ` (NAME is there, an unfinished download)`, or ""."""
    places = (folder, folder / HUB_FOLDER)
    names = sorted(path.name for place in places for pattern in UNFINISHED for path in place.glob(pattern))
    return f" ({names[0]} is there, an unfinished download)" if names else ""


def _text(start: bytes) -> str | None:
    """Returns the start of a file as text, or None if it is not text."""
    encoding = "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    try:
        # the last character may be truncated
        text = codecs.getincrementaldecoder(encoding)().decode(start).removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None
    return None if CONTROL.search(text) else text


def _is_of_its_kind(file: Path, text: str) -> bool:
    """Returns whether the text is JSON, which a damaged JSON file still is."""
    return file.suffix == ".json" and text.lstrip().startswith(("{", "["))


def _other_text(text: str) -> tuple[str, str]:
    return f"text ({textwrap.shorten(text, SHOWN_CHARACTERS, placeholder=' …')!r})", HUB


def _kind(start: bytes, text: str | None) -> tuple[str, str] | None:
    """Returns the kind of a file with this start, and what to do, or None."""
    if not start.strip(b"\0"):
        return ("zeros" if start else "empty"), AGAIN
    for magic, kind, remedy in MAGIC:
        if start.startswith(magic):
            return kind, remedy
    if text is None:
        return None
    return next(((kind, remedy) for begins, kind, remedy in TEXTS if begins.match(text)), None)
