"""Take the screenshots of the documentation, with Chromium: the report, wide and on a phone, and the view in MLflow.

python -m tests.pages.screenshots docs/figures

The results are those of `make demo`, in a store of their own: the committed records, imported.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.browser import Tab, tab

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "experiments" / "records"
SIZES = {"report-wide.png": (1280, 1600), "report-phone.png": (390, 1600), "mlflow-cells.png": (1280, 900)}
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/#/\S+")
PATIENCE_S = 300
STILL_S = 3
"""A page that has not changed for this long has loaded everything."""
CLOSE_ASSISTANT = "document.querySelector('[data-component-id=\"mlflow.assistant.chat_panel.close\"]')?.click()"
RUNS_ARE_THERE = re.compile(r"[1-9]\d* matching runs")


def demo(folder: Path) -> Path:
    """Imports the committed records into a store in the folder and returns the page of their report."""
    _run(folder, "runner", "import", str(RECORDS))
    _run(folder, "analysis", "report", "--out", "report")
    return folder / "report" / "report.html"


def _command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _environment() -> dict[str, str]:
    """Returns the environment without choices of a store, so that the embedded one of the folder is used."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {**own, "PYTHONPATH": str(ROOT)}


def _run(folder: Path, module: str, *arguments: str) -> None:
    subprocess.run(_command(module, *arguments), cwd=folder, env=_environment(), check=True)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serves the store of the folder by `runner ui` and yields the address of its first view."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = _command("runner", "ui", "--port", port, "--workers", "1")
    server = subprocess.Popen(
        command, cwd=folder, env=_environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert server.stdout is not None
        address = next(found[0] for line in server.stdout if (found := ADDRESS.search(line)))
        _wait_for(int(port))
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # it only reads, and takes long to end in order
        server.wait()


def _wait_for(port: int) -> None:
    """Waits until something listens on the port."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(f"nothing listens on port {port}")


def wait_until_still(browser: Tab, text: re.Pattern[str]) -> None:
    """Waits until the page shows the text and has stopped changing."""
    until = time.monotonic() + PATIENCE_S
    shown, since = "", time.monotonic()
    while time.monotonic() < until:
        now = browser.value("document.body.innerText")
        if now != shown:
            shown, since = now, time.monotonic()
        if text.search(shown) and time.monotonic() - since >= STILL_S:
            return
        time.sleep(0.2)
    raise TimeoutError(f"the page does not show {text.pattern!r}")


def take(out: Path) -> None:
    """Writes the screenshots into a folder."""
    with tempfile.TemporaryDirectory(prefix="decode-floor-screenshots-") as name, tab() as browser:
        folder = Path(name)
        page = demo(folder)
        for picture in ("report-wide.png", "report-phone.png"):
            browser.show(page, *SIZES[picture])
            browser.screenshot(out / picture)
        with served(folder) as address:
            browser.open(address, *SIZES["mlflow-cells.png"])
            wait_until_still(browser, RUNS_ARE_THERE)
            browser.value(CLOSE_ASSISTANT)
            wait_until_still(browser, RUNS_ARE_THERE)
            browser.screenshot(out / "mlflow-cells.png")


if __name__ == "__main__":
    take(Path(sys.argv[1]))
