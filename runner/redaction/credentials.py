"""Credentials: which parts of a URI are secret, and texts without them. The one place that masks.

People write passwords into URIs as they are, with `@`, `:`, `/` and `?` in them, and each library that reads such a URI
cuts it elsewhere. A secret is therefore taken to reach as far as any of those readings says.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK = "***"
DATABASES = ("postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle", "sqlite")
"""Their URIs have no fragment, and a user's name alone is no token."""
FILES = ("sqlite", "file")
"""Behind `:///` these have a path, which may have an `@` in it."""
SHORT = 4
"""A shorter secret is replaced only where it stands by itself: no text can be read without any `a`."""
TOKEN_LENGTH = 8
"""A parameter of an unknown name is masked in other texts as well only if its value has this many characters."""
LONGEST_USER = 20
"""A longer user name of a web address is taken for a token."""
TOKEN_PASSWORDS = ("", "x-oauth-basic")
"""Beside these, which say nothing, the user's name is the token."""

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?://)?(?P<rest>.*)", re.DOTALL)
IN_TEXT = re.compile(r"(?i)(?<![a-z0-9])[a-z][a-z0-9+.-]{0,20}://[^\s\"'<>`]+")
_HOST = r"(?:[\w.-]*|\[[0-9A-Fa-f:.%]+\])(?::\d*)?"
_PLACE = re.compile(rf"{_HOST}(?:/[^?#]*)?")
_WITHOUT_USER = re.compile(rf"{_HOST}(?:[/?#].*)?", re.DOTALL)
_PLAIN = re.compile(r"[\w.,:/+~%-]*")
_NAME = re.compile(r"[\w.-]{1,40}")
_ROUTE = re.compile(r"#/[\w/.-]*")  # as in the addresses of MLflow's UI

_SECRET_NAME = re.compile(
    r"(?i)pass(?:word|wd|phrase)?$|pwd|secret|token|credential|(?:api|access|account|private|shared)[_-]?key"
    r"|^(?:key|sig|sas|auth)$|signature|authorization|session"
)
_VISIBLE_NAMES = frozenset(
    """
    application_name cache channel_binding charset check_same_thread client_encoding connect_timeout database dbname
    driver gssencmode host hostaddr isolation_level keepalives keepalives_idle mode passfile port read_timeout region
    search_path service sslcert sslcrl sslkey sslmode sslrootcert ssl_ca ssl_cert ssl_key target_session_attrs timeout
    unix_socket uri user username version workspace write_timeout
    """.split()  # noqa: SIM905 - as a list of strings it is 50 lines
)
_SECRET_VARIABLE = re.compile(
    r"(?i)(?:^|_)(?:token|key|password|passwd|passphrase|secret|pwd|pass|credentials?|connection_string)$|^pgpassword$"
)
_NOTHING_BUT_SECRETS = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)
"""Variables whose value is a secret however short it is, and though it looks like a path."""
SHORTEST_OF_ENVIRONMENT = 8


@dataclass(frozen=True)
class _Parts:
    """`start` is the scheme with what follows it, `userinfo` None where there is none, `query` begins with ? or #."""

    start: str
    is_database: bool
    userinfo: str | None
    place: str
    query: str

    @property
    def user(self) -> str:
        return (self.userinfo or "").partition(":")[0]

    @property
    def password(self) -> str | None:
        """None where there is no colon."""
        _, colon, password = (self.userinfo or "").partition(":")
        return password if colon else None

    @property
    def user_is_secret(self) -> bool:
        if re.search(r"[/?#]", self.user):
            return True
        has_token = self.password is None or self.password in TOKEN_PASSWORDS or len(self.user) > LONGEST_USER
        return bool(self.user) and not self.is_database and has_token


def shown(uri: str) -> str:
    """The URI as it may be printed: every secret in it replaced by ***. Host and database stay."""
    parts = _parts(uri)
    if parts is None:
        return uri
    return f"{parts.start}{_shown_userinfo(parts)}{parts.place}{_shown_query(parts.query)}"


def secrets_of(uri: str) -> frozenset[str]:
    """Every secret of the URI, as it stands there."""
    parts = _parts(uri)
    if parts is None:
        return frozenset()
    queries = _suffixes(uri, "?" if parts.is_database else "?#")
    return frozenset(filter(None, (*_of_userinfo(parts), *(each for query in queries for each in _of_query(query)))))


def masked(text: str, *uris: str) -> str:
    """The text without the secrets of these URIs, of this process's arguments and of its environment, nor those of any
    URI that stands in it. Programs print a URI decoded, quoted or in pieces: all of these are found."""
    known = [*filter(None, uris), *_uris_of_arguments()]
    for uri in sorted(known, key=len, reverse=True):
        text = text.replace(uri, shown(uri))
    secrets = {spelling for uri in known for spelling in _spellings_of_uri(uri)} | of_environment()
    for secret in sorted(secrets, key=len, reverse=True):
        text = without(text, secret, MASK)
    return IN_TEXT.sub(lambda match: _shown_in_text(match[0]), text)


def without(text: str, secret: str, mask: str) -> str:
    """The text with the secret replaced; a short one only where it stands by itself."""
    if len(secret) >= SHORT:
        return text.replace(secret, mask)
    return re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", lambda _: mask, text)


def of_environment() -> frozenset[str]:
    """The secrets in this process's variables, by their names and in the URIs of stores, proxies and indexes; in every
    spelling."""
    return frozenset(spelling for value in _values_of_environment() for spelling in _spellings(value))


def userinfo_in_text(uri: str) -> str | None:
    """User and password in a URI that was found in a text, None where there are none. An `@` behind host and port is
    none of theirs: `git+https://host/name@v1`."""
    parts = _parts(uri)
    if parts is None or (not parts.is_database and _WITHOUT_USER.fullmatch(uri.partition("://")[2])):
        return None
    return parts.userinfo


def _parts(uri: str) -> _Parts | None:
    """None for what cannot hold a secret: a path, a word."""
    match = _URI.fullmatch(uri)
    if match is None:
        return None
    kind, rest = match["scheme"].partition("+")[0].lower(), match["rest"]
    start, is_database = uri[: match.start("rest")], kind in DATABASES
    if kind in FILES and rest.startswith("/"):
        place, mark, query = rest.partition("?")
        return _Parts(start, is_database, None, place, mark + query)
    return _Parts(start, is_database, *_cut(rest, "?" if is_database else "?#"))


def _cut(rest: str, marks: str) -> tuple[str | None, str, str]:
    """(userinfo, place, query). The userinfo reaches to the last `@` of all, save those in a query that is one beyond
    doubt: rather an `@` that was none of a password's is masked than a password shown."""
    head, query = _at_first(rest, marks)
    userinfo, found, place = head.rpartition("@")
    if "@" in query and not (_PLACE.fullmatch(place) and _is_known_query(query)):
        if any("@" in part and _is_known_query(part) for part in _suffixes(rest, marks)):
            return rest, "", ""  # the last `@` may be that query's, or the password's: nothing can be told apart
        userinfo, found, tail = rest.rpartition("@")
        place, query = _at_first(tail, marks)
    return (userinfo if found else None), place, query


def _suffixes(text: str, marks: str) -> Iterator[str]:
    """From each mark on: any may begin the query, and the others be a password's."""
    return (text[at:] for at, mark in enumerate(text) if mark in marks)


def _at_first(text: str, marks: str) -> tuple[str, str]:
    at = min((text.index(mark) for mark in marks if mark in text), default=len(text))
    return text[:at], text[at:]


def _is_known_query(query: str) -> bool:
    """Has every part of it a name that stores give to their parameters?"""
    return all(_is_known(name) for name, _ in _parameters(query))


def _is_known(name: str) -> bool:
    name = unquote_plus(name)
    return name.lower() in _VISIBLE_NAMES or bool(_NAME.fullmatch(name) and _SECRET_NAME.search(name))


def _parameters(query: str) -> list[tuple[str, str]]:
    """Name and value as they stand there. What follows a secret and has no known name is part of it: a password may
    have an `&` in it."""
    found: list[tuple[str, str]] = []
    for part in query[1:].split("&") if query else ():
        name, equals, value = part.partition("=")
        if found and not _may_be_shown(*found[-1]) and not (equals and _is_known(name)):
            found[-1] = (found[-1][0], f"{found[-1][1]}&{part}")
        else:
            found.append((name, value) if equals else ("", part))
    return found


def _may_be_shown(name: str, value: str) -> bool:
    return name.lower() in _VISIBLE_NAMES and bool(_PLAIN.fullmatch(value))


def _shown_query(query: str) -> str:
    if not query or _ROUTE.fullmatch(query):
        return query
    return query[0] + "&".join(_shown_parameter(name, value) for name, value in _parameters(query))


def _shown_parameter(name: str, value: str) -> str:
    start = f"{name}=" if _NAME.fullmatch(name) else ""
    return f"{start}{MASK if value and not _may_be_shown(name, value) else value}"


def _shown_userinfo(parts: _Parts) -> str:
    if parts.userinfo is None:
        return ""
    user = MASK if parts.user_is_secret else parts.user
    return f"{user}@" if parts.password is None else f"{user}:{MASK}@"


def _of_userinfo(parts: _Parts) -> Iterator[str]:
    """As we cut it, and as SQLAlchemy does, to the first `@`."""
    if parts.user_is_secret:
        yield parts.user
    password = parts.password or ""
    yield from (each for each in (password, password.partition("@")[0]) if each not in TOKEN_PASSWORDS)


def _of_query(query: str) -> Iterator[str]:
    if _ROUTE.fullmatch(query):
        return
    for name, value in _parameters(query):
        if not _may_be_shown(name, value) and (_SECRET_NAME.search(unquote_plus(name)) or len(value) >= TOKEN_LENGTH):
            yield value
            yield value.partition("&")[0]


def _spellings(secret: str) -> frozenset[str]:
    """The ways in which a program may print a secret: as it is, decoded, percent-encoded, or quoted."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    coded = {quote(each, safe=safe) for each in plain for safe in ("", "/", " +")} | {
        quote_plus(each) for each in plain
    }
    coded |= {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), each) for each in coded}
    quoted = {form(each)[1:-1] for each in plain for form in (json.dumps, repr)}
    quoted |= {re.sub(r"(['\\])", r"\\\1", each) for each in plain}
    return frozenset(filter(None, plain | coded | quoted))


def _spellings_of_uri(uri: str) -> Iterator[str]:
    """Yields the spellings that show a secret. A password equal to the database's name is left out: the name may be
    shown."""
    public = shown(uri)
    yield from (each for each in _all_spellings_of_uri(uri) if each not in public)


def _all_spellings_of_uri(uri: str) -> Iterator[str]:
    for secret in secrets_of(uri):
        yield from _spellings(secret)
        # a library that cuts the URI elsewhere complains of a piece: no host "w@rd", no port "p"
        yield from (piece for piece in re.split(r"[@:/?#&\s]", secret) if len(piece) >= SHORT)
    parts = _parts(uri)
    if parts is not None and parts.userinfo:
        for pair in {parts.userinfo, unquote(parts.userinfo)}:
            yield base64.b64encode(pair.encode(errors="replace")).decode()


def _uris_of_arguments() -> list[str]:
    return [uri for each in sys.argv[1:] for uri in (each, each.partition("=")[2]) if "://" in uri]


def _values_of_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        if name in _NOTHING_BUT_SECRETS and len(value) >= SHORT:
            yield value
        elif _SECRET_VARIABLE.search(name) and not name.endswith("OLDPWD"):
            # a variable may also hold the path of a key file
            if len(value) >= SHORTEST_OF_ENVIRONMENT and not value.startswith("/"):
                yield value
        elif "://" in value:
            yield from (secret for secret in secrets_of(value) if len(secret) >= SHORTEST_OF_ENVIRONMENT)


def _shown_in_text(uri: str) -> str:
    if userinfo_in_text(uri) is not None:
        return shown(uri)
    head, mark, query = uri.partition("?")
    return head + _shown_query(mark + query)
