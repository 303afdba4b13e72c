"""`fetch.py URL SHA256 FILE`: downloads a file and verifies its hash."""

from __future__ import annotations

import hashlib
import sys
import urllib.request
from pathlib import Path


def main(url: str, sha256: str, file: str) -> str | None:
    """Downloads the file. Returns an error message, or None."""
    with urllib.request.urlopen(url, timeout=60) as response:
        content = response.read()
    if (actual := hashlib.sha256(content).hexdigest()) != sha256:
        return f"{url} has sha256 {actual}, not {sha256}"
    Path(file).write_bytes(content)
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
