"""A URI is shown without its secrets, and no text shows one, however it was written."""

from __future__ import annotations

import base64
import json
import os
import sys
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runner import failures
from runner.errors import BadValue
from runner.redaction import credentials


@pytest.fixture(autouse=True)
def _no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("sqlite:///mlflow.db?timeout=10", "sqlite:///mlflow.db?timeout=10"),
        ("sqlite:////home/me@work:x/mlflow.db", "sqlite:////home/me@work:x/mlflow.db"),
        ("/home/me@work/mlruns", "/home/me@work/mlruns"),
        ("http://127.0.0.1:5000/#/experiments/1", "http://127.0.0.1:5000/#/experiments/1"),
        ("http://me:pass@host:5000", "http://me:***@host:5000"),
        ("https://me:pa/ss@w@host/x", "https://me:***@host/x"),
        ("https://me:pa?ss#w@host/x", "https://me:***@host/x"),
        ("postgresql://u:p/w@rd:x@host:5432/db?password=a%26b", "postgresql://u:***@host:5432/db?password=***"),
        ("postgresql+psycopg://u:p@[::1]:5432/db", "postgresql+psycopg://u:***@[::1]:5432/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("mysql://u:p@host/db?password=a@b&charset=utf8", "mysql://u:***@host/db?password=***&charset=utf8"),
        ("mysql://host/db?user=me&password=a&b&ssl_ca=/x.pem", "mysql://host/db?user=me&password=***&ssl_ca=/x.pem"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dy", "mssql+pyodbc:///?odbc_connect=***"),
        ("https://token@host/x", "https://***@host/x"),
        ("https://token:x-oauth-basic@host/x", "https://***:***@host/x"),
        ("redis://:secret@host", "redis://:***@host"),
        ("postgresql:me:secret@host/db", "postgresql:me:***@host/db"),
        ("me:secret@host/db", "me:***@host/db"),
        ("https://host/x?token=abc", "https://host/x?token=***"),
        ("https://host/x?sslmode=off&access_token=abc", "https://host/x?sslmode=off&access_token=***"),
        ("https://host/x#access_token=abc", "https://host/x#access_token=***"),
        ("https://host/c?sp=r&sig=a%2Fb%3D", "https://host/c?sp=***&sig=***"),
        ("s3://bucket/x?X-Amz-Signature=abc&region=eu", "s3://bucket/x?X-Amz-Signature=***&region=eu"),
        (
            "postgresql://host/db?sslpassword=abc&sslmode=require",
            "postgresql://host/db?sslpassword=***&sslmode=require",
        ),
    ],
)
def test_host_and_database_are_shown_and_no_secret(uri: str, shown: str) -> None:
    assert credentials.masked_uri(uri) == shown
    assert credentials.masked_uri(shown) == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("git+https://github.com/o/r@v1 and docker://h:5000/i@sha256:ab", None),
        ("http://u:p/w@host/x, then", "http://u:***@host/x, then"),
        ("see https://ghp_abc@github.com/x", "see https://***@github.com/x"),
        ("mail me@host.org about https://host.org", None),
    ],
)
def test_a_uri_that_nobody_told_of_is_found_in_a_text(text: str, expected: str | None) -> None:
    assert credentials.masked(text) == (expected or text)


def test_pieces_of_a_password_go_too() -> None:
    uri = "http://me:first/second@third:fourth@host/x"
    said = "Failed to parse third:fourth@host, no port 'first'; no path /second@third"
    assert not {"first", "second", "third", "fourth"} & set(credentials.masked(said, uri).replace("@", " ").split("/"))
    assert "host" in credentials.masked(said, uri)


def test_basic_authentication_as_it_is_sent_goes_too() -> None:
    sent = base64.b64encode(b"me:p@ss/word").decode()
    assert credentials.masked(f"sent {sent}", "http://me:p%40ss%2Fword@host") == "sent ***"


def test_a_secret_that_is_not_utf8_breaks_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable may hold any byte, and every error masks the secrets of the environment."""
    secret = os.fsdecode(b"sesame-\xff-open")
    monkeypatch.setenv("PGPASSWORD", secret)
    assert str(BadValue(f"wrong: {secret}")) == "wrong: ***"
    assert str(BadValue("wrong: sesame-%FF-open")) == "wrong: ***"
    assert credentials.masked(f"to postgresql://me:x{secret}@db/y", f"postgresql://me:x{secret}@db/y").endswith(
        "***@db/y"
    )


def test_a_password_that_is_the_databases_name_leaves_that_readable() -> None:
    uri = "postgresql://mlflow:mlflow@db/mlflow"
    said = f'{uri}: password authentication failed for user "mlflow"'
    expected = 'postgresql://mlflow:***@db/mlflow: password authentication failed for user "mlflow"'
    assert credentials.masked(said, uri) == expected


@pytest.mark.parametrize(
    ("variable", "value", "secret"),
    [
        ("MLFLOW_TRACKING_PASSWORD", "hunter2", "hunter2"),
        ("MLFLOW_TRACKING_TOKEN", "a/b+c=", "a/b+c="),
        ("PGPASSWORD", "tiger", "tiger"),
        ("HF_TOKEN", "hf_x1", "hf_x1"),
        ("AWS_SECRET_ACCESS_KEY", "/K7MDENG/bPxRfi", "/K7MDENG/bPxRfi"),
        ("MY_DB_PASSWORD", "correct horse", "correct horse"),
        ("HTTPS_PROXY", "http://me:pro/xy@pass@proxy:3128", "pro/xy@pass"),
        ("MLFLOW_TRACKING_URI", "postgresql://me:p%40ssw%2Frd@host/db", "p@ssw/rd"),
        ("PIP_INDEX_URL", "https://pypi-token-1@index.org/simple", "pypi-token-1"),
    ],
)
@pytest.mark.parametrize("spelled", [str, quote_plus, json.dumps])
def test_secrets_of_the_environment_are_in_no_text(
    variable: str, value: str, secret: str, spelled: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert callable(spelled)
    said = f"proxy refused ({spelled(secret)}); "
    assert spelled(secret).strip('"') not in credentials.masked(said)
    assert spelled(secret).strip('"') not in str(BadValue(said))


def test_an_error_and_its_traceback_show_no_secret_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["runner", "--store=postgresql://me:se/cr et@host/db"])
    monkeypatch.setenv(failures.TRACEBACK_VARIABLE, "1")
    told = failures.as_failure(RuntimeError("no postgresql://me:se/cr et@host/db here: se/cr et"))
    assert "postgresql://me:***@host/db" in str(told)
    assert "cr et" not in str(told)
    assert "cr et" not in capsys.readouterr().err


WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)
SECRET = st.text(min_size=4, max_size=16).filter(lambda text: text.isprintable() and not text.isspace())
ASCII_SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=16)
SECRETS = st.one_of(SECRET, ASCII_SECRET)
SCHEMES = st.sampled_from(
    ["postgresql", "postgresql+psycopg", "mysql", "mssql", "http", "https", "redis", "s3", "x-store"]
)
WRITTEN = st.sampled_from([str, lambda text: quote(text, safe=""), quote_plus])
SECRET_NAMES = st.sampled_from(["password", "token", "access_token", "sslpassword", "sig", "api_key", "AWSSecretKey"])


def _spelled(secret: str) -> set[str]:
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}


def _check(uri: str, secrets: list[str], public: str) -> None:
    said = "; ".join([f"cannot open {uri!r} ({uri})", *(f"{each}" for one in secrets for each in _spelled(one))])
    for text in (credentials.masked_uri(uri), credentials.masked(said, uri)):
        for secret in secrets:
            assert not [each for each in _spelled(secret) if each in text and each not in public]


@pytest.mark.medium
@given(SCHEMES, WORD, SECRETS, WRITTEN, WORD, WORD, st.integers(1, 65535))
def test_no_password_comes_out(
    scheme: str, user: str, secret: str, written: object, host: str, database: str, port: int
) -> None:
    assert callable(written)
    place = f"{host}:{port}/{database}"
    uri = f"{scheme}://{user}:{written(secret)}@{place}"
    assume(secret not in ("x-oauth-basic", credentials.MASK))
    _check(uri, [secret], f"cannot open {scheme}://{user}:***@{place}")
    assert credentials.masked_uri(uri) == f"{scheme}://{user}:***@{place}"


@pytest.mark.medium
@given(SCHEMES, WORD, SECRETS, WRITTEN, WORD, SECRET_NAMES, SECRETS)
def test_no_secret_of_the_query_comes_out(
    scheme: str, user: str, secret: str, written: object, host: str, name: str, second: str
) -> None:
    assert callable(written)
    assume("x-oauth-basic" not in secret)
    uri = f"{scheme}://{user}:{written(secret)}@{host}/db?sslmode=require&{name}={quote(second, safe='')}"
    _check(uri, [secret, second], f"cannot open {scheme}://{user}:***@{host}/db?sslmode=require&{name}=***")
    assert f"@{host}/db?sslmode=require&{name}=***" in credentials.masked_uri(uri)


@pytest.mark.medium
@given(WORD, SECRET_NAMES, ASCII_SECRET)
def test_no_secret_of_a_query_comes_out_as_it_was_typed(host: str, name: str, secret: str) -> None:
    uri = f"https://{host}/x?{name}={secret}"
    _check(uri, [secret], f"cannot open https://{host}/x?{name}=***")


@pytest.mark.medium
@given(st.text(max_size=60))
def test_what_is_shown_is_shown_again(text: str) -> None:
    once = credentials.masked_uri(f"postgresql://{text}")
    assert credentials.masked_uri(once) == once


@pytest.mark.medium
@given(SCHEMES, WORD, SECRETS, WORD, SECRET_NAMES, ASCII_SECRET)
def test_neither_comes_out_where_both_are_as_they_were_typed(
    scheme: str, user: str, secret: str, host: str, name: str, second: str
) -> None:
    assume(secret != "x-oauth-basic")
    uri = f"{scheme}://{user}:{secret}@{host}/db?{name}={second}"
    _check(uri, [secret, second], f"cannot open {scheme}://{user}:***@{host}/db?{name}=***")
