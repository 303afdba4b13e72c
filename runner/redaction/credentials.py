"""Credentials: the secret parts of URIs, and texts without them. All masking is done here.

People write passwords with `@`, `:`, `/` and `?` into URIs unquoted, and libraries split such URIs differently. So a
secret is assumed to extend as far as any of these readings allows.
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
"""Schemes whose URIs have no fragment, and where a user name alone is no token."""
FILES = ("sqlite", "file")
"""Schemes with a path after `:///`, which may contain an `@`."""
SHORT = 4
"""The length below which a secret is replaced only as a separate word, to keep the text readable."""
TOKEN_LENGTH = 8
"""The minimum length of an unknown parameter's value that is also masked in other texts."""
LONGEST_USER = 20
"""The length above which the user name of a web address counts as a token."""
NOT_UTF8 = "surrogateescape"
"""Error handler for bytes of a variable or an argument that are not UTF-8."""
TOKEN_PASSWORDS = ("", "x-oauth-basic")
"""Passwords that mean that the user name is the token."""

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?://)?(?P<rest>.*)", re.DOTALL)
IN_TEXT = re.compile(r"(?i)(?<![a-z0-9])[a-z][a-z0-9+.-]{0,20}://[^\s\"'<>`]+")
_HOST = r"(?:[\w.-]*|\[[0-9A-Fa-f:.%]+\])(?::\d*)?"
_PLACE = re.compile(rf"{_HOST}(?:/[^?#]*)?")
_WITHOUT_USER = re.compile(rf"{_HOST}(?:[/?#].*)?", re.DOTALL)
_PLAIN = re.compile(r"[\w.,:/+~%-]*")
_NAME = re.compile(r"[\w.-]{1,40}")
_ROUTE = re.compile(r"#/[\w/.-]*")  # an address of MLflow's UI

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
_ALWAYS_SECRET = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)
"""Variables whose value is always a secret, even if it is short or looks like a path."""
SHORTEST_OF_ENVIRONMENT = 8


@dataclass(frozen=True)
class _Parts:
    """The parts of a URI.

    `start` is the scheme with its separator, `userinfo` is None if missing, `query` begins with ? or #.
    """

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
        """Returns the password, or None if there is no colon."""
        _, colon, password = (self.userinfo or "").partition(":")
        return password if colon else None

    @property
    def user_is_secret(self) -> bool:
        """Returns whether the user name is a token, or a password that was cut."""
        if re.search(r"[/?#]", self.user):
            return True
        has_token = self.password is None or self.password in TOKEN_PASSWORDS or len(self.user) > LONGEST_USER
        return bool(self.user) and not self.is_database and has_token


def masked_uri(uri: str) -> str:
    """Returns the URI with each secret replaced by ***. Host and database stay."""
    parts = _parts(uri)
    if parts is None:
        return uri
    return f"{parts.start}{_shown_userinfo(parts)}{parts.place}{_shown_query(parts.query)}"


def secrets_of(uri: str) -> frozenset[str]:
    """Returns the secrets of the URI, as written there."""
    parts = _parts(uri)
    if parts is None:
        return frozenset()
    queries = _suffixes(uri, "?" if parts.is_database else "?#")
    secrets = (*_userinfo_secrets(parts), *(secret for query in queries for secret in _query_secrets(query)))
    return frozenset(filter(None, secrets))


def masked(text: str, *uris: str) -> str:
    """Returns the text without secrets: of these URIs, of this process's arguments and environment, and of URIs in the
    text.

    Programs print URIs decoded, quoted or in pieces; all of these are masked.
    """
    all_uris = [*filter(None, uris), *_uris_of_arguments()]
    for uri in sorted(all_uris, key=len, reverse=True):
        text = text.replace(uri, masked_uri(uri))
    secrets = {spelling for uri in all_uris for spelling in _spellings_of_uri(uri)} | secrets_of_environment()
    for secret in sorted(secrets, key=len, reverse=True):
        text = without(text, secret, MASK)
    return IN_TEXT.sub(lambda match: _shown_in_text(match[0]), text)


def without(text: str, secret: str, mask: str) -> str:
    """Returns the text with the secret replaced; a short secret only as a separate word."""
    if len(secret) >= SHORT:
        return text.replace(secret, mask)
    return re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", lambda _: mask, text)


def secrets_of_environment() -> frozenset[str]:
    """Returns the secrets in this process's variables in every spelling.

    They are found by the variables' names, and in URIs of stores, proxies and indexes.
    """
    return frozenset(spelling for value in _values_of_environment() for spelling in _spellings(value))


def userinfo_in_text(uri: str) -> str | None:
    """Returns user and password of a URI from a text, or None.

    An `@` after host and port belongs to neither: `git+https://host/name@v1`.
    """
    parts = _parts(uri)
    if parts is None or (not parts.is_database and _WITHOUT_USER.fullmatch(uri.partition("://")[2])):
        return None
    return parts.userinfo


def _parts(uri: str) -> _Parts | None:
    """Returns the parts of a URI, or None for a text that cannot contain a secret, such as a path or a word."""
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
    """Returns (userinfo, place, query).

    The userinfo extends to the last `@`, except one in a query that certainly is one. So an unrelated `@` may be
    masked, but no password is shown.
    """
    head, query = _at_first(rest, marks)
    userinfo, at_sign, place = head.rpartition("@")
    if "@" in query and not (_PLACE.fullmatch(place) and _is_known_query(query)):
        if any("@" in part and _is_known_query(part) for part in _suffixes(rest, marks)):
            return rest, "", ""  # the last `@` may belong to that query or to the password: mask everything
        userinfo, at_sign, tail = rest.rpartition("@")
        place, query = _at_first(tail, marks)
    return (userinfo if at_sign else None), place, query


def _suffixes(text: str, marks: str) -> Iterator[str]:
    """Yields the text from each mark on: any mark may begin the query, the others may be part of a password."""
    return (text[index:] for index, mark in enumerate(text) if mark in marks)


def _at_first(text: str, marks: str) -> tuple[str, str]:
    index = min((text.index(mark) for mark in marks if mark in text), default=len(text))
    return text[:index], text[index:]


def _is_known_query(query: str) -> bool:
    """Returns whether every parameter has a name that stores use."""
    return all(_is_known(name) for name, _ in _parameters(query))


def _is_known(name: str) -> bool:
    name = unquote_plus(name)
    return name.lower() in _VISIBLE_NAMES or bool(_NAME.fullmatch(name) and _SECRET_NAME.search(name))


def _parameters(query: str) -> list[tuple[str, str]]:
    """Returns names and values as written.

    A part after a secret without a known name belongs to the secret: a password may contain an `&`.
    """
    parameters: list[tuple[str, str]] = []
    for part in query[1:].split("&") if query else ():
        name, equals, value = part.partition("=")
        if parameters and not _may_be_shown(*parameters[-1]) and not (equals and _is_known(name)):
            parameters[-1] = (parameters[-1][0], f"{parameters[-1][1]}&{part}")
        else:
            parameters.append((name, value) if equals else ("", part))
    return parameters


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


def _userinfo_secrets(parts: _Parts) -> Iterator[str]:
    """Yields the secrets by this module's split, and by SQLAlchemy's, which ends at the first `@`."""
    if parts.user_is_secret:
        yield parts.user
    password = parts.password or ""
    yield from (secret for secret in (password, password.partition("@")[0]) if secret not in TOKEN_PASSWORDS)


def _query_secrets(query: str) -> Iterator[str]:
    if _ROUTE.fullmatch(query):
        return
    for name, value in _parameters(query):
        if not _may_be_shown(name, value) and (_SECRET_NAME.search(unquote_plus(name)) or len(value) >= TOKEN_LENGTH):
            yield value
            yield value.partition("&")[0]


def _spellings(secret: str) -> frozenset[str]:
    """Returns the spellings of a secret in programs' output: plain, decoded, percent-encoded, or quoted."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    coded = {quote(text, safe=safe, errors=NOT_UTF8) for text in plain for safe in ("", "/", " +")} | {
        quote_plus(text, errors=NOT_UTF8) for text in plain
    }
    coded |= {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), text) for text in coded}
    quoted = {form(text)[1:-1] for text in plain for form in (json.dumps, repr)}
    quoted |= {re.sub(r"(['\\])", r"\\\1", text) for text in plain}
    return frozenset(filter(None, plain | coded | quoted))


def _spellings_of_uri(uri: str) -> Iterator[str]:
    """Yields the spellings that reveal a secret.

    A password equal to the database's name is left out, because the name is public.
    """
    public = masked_uri(uri)
    yield from (spelling for spelling in _all_spellings_of_uri(uri) if spelling not in public)


def _all_spellings_of_uri(uri: str) -> Iterator[str]:
    for secret in secrets_of(uri):
        yield from _spellings(secret)
        # a library that splits the URI elsewhere names a piece in its error: no host "w@rd", no port "p"
        yield from (piece for piece in re.split(r"[@:/?#&\s]", secret) if len(piece) >= SHORT)
    parts = _parts(uri)
    if parts is not None and parts.userinfo:
        for pair in {parts.userinfo, unquote(parts.userinfo)}:
            yield base64.b64encode(pair.encode(errors="replace")).decode()


def _uris_of_arguments() -> list[str]:
    return [uri for argument in sys.argv[1:] for uri in (argument, argument.partition("=")[2]) if "://" in uri]


def _values_of_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        if name in _ALWAYS_SECRET and len(value) >= SHORT:
            yield value
        elif _SECRET_VARIABLE.search(name) and not name.endswith("OLDPWD"):
            # the value may be the path of a key file
            if len(value) >= SHORTEST_OF_ENVIRONMENT and not value.startswith("/"):
                yield value
        elif "://" in value:
            yield from (secret for secret in secrets_of(value) if len(secret) >= SHORTEST_OF_ENVIRONMENT)


def _shown_in_text(uri: str) -> str:
    if userinfo_in_text(uri) is not None:
        return masked_uri(uri)
    head, mark, query = uri.partition("?")
    return head + _shown_query(mark + query)
