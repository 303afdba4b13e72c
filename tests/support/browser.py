"""Debian's Chromium without a window, driven through its DevTools protocol over a pipe: real clicks, keys and sizes."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

BROWSER = "/usr/bin/chromium"
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
SMALLEST_DESKTOP = 600
KEYS = {
    "Enter": {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"},
    " ": {"key": " ", "code": "Space", "windowsVirtualKeyCode": 32, "text": " "},
}


class Tab:
    """One page of a running browser."""

    def __init__(self, commands: BinaryIO, answers: BinaryIO) -> None:
        self._out, self._in = commands, answers
        self._numbers = itertools.count(1)
        self._session: dict[str, str] = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        self.call("Page.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol, and its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **self._session}
        self._out.write(json.dumps(message).encode() + b"\0")
        answer = self._until(lambda found: found.get("id") == number)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _until(self, fits: Any) -> dict[str, Any]:
        text = bytearray()
        while (byte := self._in.read(1)) != b"":
            if byte != b"\0":
                text += byte
                continue
            found: dict[str, Any] = json.loads(text)
            if fits(found):
                return found
            text.clear()
        raise AssertionError("the browser has ended")

    def show(self, page: Path, width: int, height: int = 900) -> None:
        """Load a file into a window of this size (a phone's, if it is as narrow as one)."""
        self.open(page.as_uri(), width, height)

    def open(self, address: str, width: int, height: int) -> None:
        """Load an address into a window of this size."""
        mobile = width < SMALLEST_DESKTOP
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.call("Page.navigate", url=address)
        self._until(lambda found: found.get("method") == "Page.loadEventFired")

    def value(self, script: str) -> Any:
        """Of a JavaScript expression in the page, awaited if it is a promise."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, script: str, within_s: float = 60) -> Any:
        """The first true value of a JavaScript expression in the page, which a program there may change."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if found := self.value(script):
                return found
            time.sleep(0.2)
        raise AssertionError(f"not within {within_s:.0f} s: {script}")

    def press(self, key: str) -> None:
        """A key, down and up."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, **KEYS[key])

    def screenshot(self, file: Path) -> None:
        """Of what the window shows."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def tab() -> Iterator[Tab]:
    """A page in a browser of its own, with a profile of its own."""
    with tempfile.TemporaryDirectory(prefix="decode-floor-browser-", ignore_cleanup_errors=True) as profile:
        (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
        # the protocol's pipe is on descriptors 3 and 4
        shell = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        options = [*QUIET, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            ["bash", "-c", shell, BROWSER, *options],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            with open(ours_out, "wb", buffering=0) as commands, open(ours_in, "rb") as answers:
                yield Tab(commands, answers)
        finally:
            process.terminate()
            process.wait(timeout=30)
