"""Finds what to do about a database's refusal: servers and drivers say what is wrong, but not that."""

from __future__ import annotations

import re

URI = "MLFLOW_TRACKING_URI (or --store)"
REMEDIES = {
    r"authentication failed|no password supplied|role \".*\" (does not exist|is not permitted)": (
        f"correct the user and the password in {URI}"
    ),
    r"pg_hba\.conf": "have its pg_hba.conf let this host and user in, over TLS where it wants that (sslmode=require)",
    r"database \".*\" (does not exist|is not currently accepting)": (
        f"create it (`createdb NAME`), or name another in {URI}"
    ),
    r"does not support SSL|SSL error|certificate|sslmode|sslrootcert": (
        f"set sslmode in {URI} to what that server speaks: `disable` where it speaks no TLS"
    ),
    r"permission denied|must be owner|read-only transaction": (
        f"have its owner GRANT this user what it needs, or name a user in {URI} who has it"
    ),
    r"too many (connections|clients)|connection slots are reserved": "end some of the connections that it has",
    r"not a database|file is encrypted": f"that file is no SQLite database: name another in {URI}",
    r"malformed": "that file is damaged: put back a copy of it",
    r"readonly database|unable to open database": "make it, and the folder that it is in, writable for this user",
    r"invalid (connection option|URI|sslmode|port|percent)|Could not parse|Invalid SQLite URL": f"correct {URI}",
}
"""Advice by a pattern of the words of PostgreSQL, its library and SQLite."""


def remedy(text: str) -> str | None:
    """The advice; None where the words are of nothing that is known here."""
    return next((advice for words, advice in REMEDIES.items() if re.search(words, text)), None)
