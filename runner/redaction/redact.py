"""Removes names of machines, people and secrets from a text, so that it can be published.

Each match is replaced by a marker such as `<gpu-uuid>`. Versions, numbers, paths below a home folder and PCI bus ids
(positions on a board, the same in many machines) stay.
"""

from __future__ import annotations

import getpass
import ipaddress
import os
import platform
import re
from collections.abc import Callable
from functools import cache

from runner.machine import host
from runner.redaction import credentials

Replacement = str | Callable[[re.Match[str]], str]
Rule = tuple[re.Pattern[str], Replacement]

MINIMUM_NAME_LENGTH = 4
# Common names: they identify nobody, and replacing them would damage ordinary text.
COMMON_NAME = re.compile(
    r"(?i)localhost|localdomain|host|hostname|node|worker|server|master|main|cloud|container|docker|linux|ubuntu"
    r"|debian|fedora|centos|user|root|admin|nobody|guest|runner|build|test|home|email|token|secret|process"
    r"|serial|uuid|cuda|torch|nvidia|python|model|cell|session|record|jetson|orin|thor|spark|removed|credentials"
)
# A host named after its card ("h200", "rtx-4090"): replacing it would remove the card's name from records.
CARD_LIKE = re.compile(r"(?i)(?:nvidia-?)?(?:gh|gb|rtx|gtx|dgx|hgx|[abhlptv])-?\d{1,4}\w?")

HEX = "[0-9a-fA-F]"
UUID = rf"{HEX}{{8}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{12}}"
IS = r"[\"']?[^\S\n]*[:=][^\S\n]*[\"']?"
VALUE = r"[^\s\"'<>,;&]+"
SECRET_NAME = r"(?:password|passwd|passphrase|secret|credentials?|api[_-]?key|access[_-]?key|secret[_-]?key)"


def _rule(pattern: str, replacement: Replacement) -> Rule:
    return re.compile(pattern, re.MULTILINE), replacement


IDENTIFIERS = (
    _rule(rf"\b(?:MIG-)?GPU-{HEX}{{8}}(?:-{HEX}+)*(?:/\d+)*\b", "<gpu-uuid>"),
    _rule(rf"\bMIG-{UUID}\b", "<gpu-uuid>"),
    # torch prints a card's UUID without prefix
    _rule(rf"\b{UUID}\b", "<uuid>"),
    _rule(rf"(?i)(\bserial(?:[ _-]?(?:number|no\.?))?{IS})(?!\[?N/A|null\b|None\b)[\w-]+", r"\1<serial>"),
)
# nvidia-smi's forms of a card's processes: its table, `-q`, and `--query-compute-apps=... csv`.
PROCESSES = (
    _rule(
        r"^(\|\s+\d+\s+\S+\s+\S+\s+\d+\s+[CGM](?:\+[CG])*\s+)\S.*?(\s+(?:\d+ ?MiB|N/A)\s*\|)",
        r"\1<process>\2",
    ),
    _rule(
        r"^([^\S\n]*Process ID\s*:\s*\d+\n(?:(?!\s*Name\b).*\n){0,3}\s*Name[^\S\n]*:[^\S\n]*).+$",
        r"\1<process>",
    ),
    _rule(r"^((?:\S+, )?\d+, )\S.*(, (?:\d+ MiB|\[N/A\]))$", r"\1<process>\2"),
)


def _without_credentials(match: re.Match[str]) -> str:
    userinfo = credentials.userinfo_in_text(match[0])
    return match[0] if userinfo is None else match[0].replace(f"{userinfo}@", "<credentials>@", 1)


CREDENTIALS: tuple[Rule, ...] = (
    (credentials.IN_TEXT, _without_credentials),
    _rule(
        r"(?i)([?&#](?:token|sig|sas|auth|signature|key|\w+[_-](?:token|signature|credential))=)[^\s&\"'<>]+",
        r"\1<token>",
    ),
    # the scheme is matched possessively, or a second redaction would take it for the token
    _rule(rf"(?i)(\bauthorization{IS}(?:(?:basic|bearer|token)\s+)?+)[^\s\"'<>]+", r"\1<token>"),
    _rule(r"\b([Bb]earer\s+)(?=[^\s\"']*\d)[\w.~+/=-]{6,}", r"\1<token>"),
    _rule(r"\b(?:hf_[A-Za-z0-9]{8,}|gh[opsur]_\w{20,}|github_pat_\w{20,})", "<token>"),
    _rule(r"\b(?:(?:glpat|nvapi|sk)-[\w-]{16,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)", "<token>"),
    _rule(r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}\b", "<token>"),
    _rule(rf"\b((?:[A-Z0-9_]+_)?TOKEN{IS})(?!\d+\b){VALUE}", r"\1<token>"),
    _rule(rf"(?i)({SECRET_NAME}{IS}){VALUE}", r"\1<token>"),
)
EMAIL = _rule(r"(?<![\w.+-])[\w.+-]*\w@(?:[\w-]+\.)+[A-Za-z]{2,24}(?!\.?\w|\()", "<email>")
HOMES = (
    _rule(r"/(?:home|Users)/[^\s/:\"',;)<>]+", "<home>"),
    _rule(r"(?:(?<=://)|(?<![\w.~/-]))/root(?![\w.-])", "<home>"),
)

# Four dotted numbers are an address, unless the context marks them as a version.
FOUR_NUMBERS = r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w+]|\.\d|-(?:py|cp)\d|\.dist-info)"
VERSION_BEFORE = re.compile(
    r"(?i)(?:[=<>~!]=\s*|\bver(?:sion)?s?[\s:=\"'(]*"
    r"|(?<![\w+])(?:nvidia|cuda|cu\d+|cudnn|cublas|nccl|cufft|cufile|triton|driver|torch|nvml|vbios|firmware)"
    r"[\w.-]*[\s:=\"'-]*)$"
)


def _ipv4(match: re.Match[str]) -> str:
    parts = match[0].split(".")
    address = all(int(part) <= 255 and part == str(int(part)) for part in parts)
    line = match.string[match.string.rfind("\n", 0, match.start()) + 1 : match.start()]
    return "<ip>" if address and not VERSION_BEFORE.search(line) else match[0]


def _ipv6(match: re.Match[str]) -> str:
    """Returns the marker for an address: three or more groups, or a first group of four digits. `[::2]` is a slice."""
    text = match[0].partition("%")[0]
    groups = [group for group in text.split(":") if group]
    if len(groups) < 3 and (text.startswith(":") or len(groups[0]) < 4):
        return match[0]
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return match[0]
    return "<ip>"


ADDRESSES = (
    _rule(rf"(?<![\w:-]){HEX}{{2}}([:-]){HEX}{{2}}(?:\1{HEX}{{2}}){{4}}(?![\w:-])", "<mac>"),
    _rule(rf"(?<![\w:.]){HEX}{{0,4}}(?::{HEX}{{0,4}}){{2,7}}(?:%\w+)?(?![\w:])", _ipv6),
    _rule(FOUR_NUMBERS, _ipv4),
)


def redact(text: str) -> str:
    """Returns the text with everything that identifies a machine, card, person or secret replaced by markers.

    The secrets in this process's variables (names ending in TOKEN, KEY, PASSWORD, …, and passwords of URIs) are
    replaced everywhere. Redaction is idempotent.
    """
    for secret in sorted(credentials.secrets_of_environment(), key=len, reverse=True):
        text = credentials.without(text, secret, "<secret>")
    for pattern, replacement in _rules():
        text = pattern.sub(replacement, text)
    return text


def _rules() -> tuple[Rule, ...]:
    """Returns all rules in order: rules for texts that may contain names or addresses come first."""
    names = frozenset({platform.node(), os.environ.get("HOSTNAME", "")})
    host_rules = _host_rules(names, _user(), os.path.expanduser("~"), host.machine_id())
    return (*IDENTIFIERS, *PROCESSES, *CREDENTIALS, EMAIL, *ADDRESSES, *host_rules)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in many containers
        return ""


@cache
def _host_rules(host_names: frozenset[str], user: str, home: str, machine: str) -> tuple[Rule, ...]:
    """Returns rules for this host's names (with any domain), its machine id, this user's name and home."""
    short = {name.partition(".")[0] for name in host_names}
    rules = [_home_rule(home), *HOMES] if home.count("/") > 1 else [*HOMES]
    for name in sorted(filter(_is_identifying, {*host_names, *short}), key=len, reverse=True):
        rules.append(_rule(rf"(?i)(?<!\w){re.escape(name)}(?:\.[a-z][\w-]*)*(?!\w)", "<host>"))
    if _is_identifying(user):
        rules.append(_rule(rf"(?<!\w){re.escape(user)}(?!\w)", "<user>"))
    if re.fullmatch(rf"{HEX}{{32}}", machine):
        rules.append(_rule(machine, "<machine-id>"))
    return tuple(rules)


def _home_rule(home: str) -> Rule:
    return _rule(rf"(?:(?<=://)|(?<![\w.~/-])){re.escape(home.rstrip('/'))}(?![\w.-])", "<home>")


def _is_identifying(name: str) -> bool:
    """Returns whether the name in a text would identify one machine or person."""
    return (
        len(name) >= MINIMUM_NAME_LENGTH
        and not COMMON_NAME.fullmatch(name)
        and not name.isdecimal()
        and not CARD_LIKE.fullmatch(name)
    )
