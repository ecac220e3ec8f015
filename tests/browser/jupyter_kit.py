"""JupyterLab as `fqdnlab notebook` starts it, and a browser that may reach nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Route

from fqdnlab.testing import eventually

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--enable-precise-memory-info",
]
SCREENSHOTS = Path("build/screenshots")
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/lab(?:/tree/[\w.]+)?\?token=([0-9a-f]+)")


@dataclass
class Server:
    """A running JupyterLab."""

    process: subprocess.Popen[str]
    folder: Path
    home: Path
    log: list[str] = field(default_factory=list)

    def said(self) -> str:
        """All it has written."""
        return "".join(self.log)

    def address(self) -> tuple[int, str]:
        """Port and token, as printed."""
        match = _ADDRESS.search(self.said())
        assert match, f"no address yet: {self.said()[-1500:]}"
        return int(match[1]), match[2]

    def url(self, notebook: str) -> str:
        port, token = self.address()
        return f"http://127.0.0.1:{port}/doc/tree/{notebook}?token={token}"


def environment(home: Path) -> dict[str, str]:
    """Ours, with nothing of the user's own Jupyter in it."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "PYTEST_"))}
    return {**env, "HOME": str(home), "IPYTHONDIR": str(home / ".ipython")}


@contextmanager
def jupyter(folder: Path, home: Path, *more: str) -> Iterator[Server]:
    """`fqdnlab notebook` on `folder`, ended by SIGTERM."""
    command = [sys.executable, "-m", "fqdnlab.notebook", str(folder), "--no-browser", *more]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(home)
    )
    server = Server(process, folder, home)
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: server.log.extend(process.stdout), daemon=True)  # type: ignore[arg-type]
    reader.start()
    try:
        eventually(server.address, 60, "JupyterLab's address")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            reader.join(5)


def notebook(path: Path, cells: Sequence[str]) -> None:
    """Write a notebook with these code cells."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    made.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    nbformat.write(made, path)


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, headless=True)


class Tab:
    """A notebook in a browser."""

    def __init__(self, page: Page, outside: list[str]) -> None:
        self.page = page
        self.outside = outside
        self.console: list[str] = []
        page.on("console", lambda m: self.console.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda e: self.console.append(f"pageerror: {e}"))

    @classmethod
    def open(cls, context: BrowserContext, server: Server, name: str) -> Tab:
        """Open a notebook of the server; wait until its kernel is idle and its widgets, of which
        there are none, were asked for: JupyterLab does so beside the first cells."""
        outside: list[str] = []
        context.route("**/*", lambda route: _inside_only(route, outside))
        tab = cls(context.new_page(), outside)
        tab.page.goto(server.url(name))
        tab.page.wait_for_function(_IDLE, timeout=60_000)
        tab.page.evaluate(_MANAGER)
        tab.page.wait_for_function("window.manager.restoredStatus", timeout=20_000)
        return tab

    def run(self, cell: int) -> None:
        """Run one cell; returns when it has begun."""
        self.page.evaluate(_RUN, cell)
        self.page.wait_for_function(_BEGUN, arg=cell, timeout=20_000)

    def interrupt(self, cell: int) -> None:
        """Interrupt a cell and wait for its end: what is sent before would be dropped."""
        self.page.evaluate(_INTERRUPT)
        self.wait(cell)

    def ended(self, cell: int) -> bool:
        """Whether a cell that was run has ended."""
        return bool(self.page.evaluate(_ENDED, cell))

    def wait(self, cell: int, seconds: float = 30) -> None:
        """Wait until a cell has ended.  (The kernel's state is its subshells' too.)"""
        self.page.wait_for_function(_ENDED, arg=cell, timeout=seconds * 1000)

    def theme(self, name: str) -> None:
        """Change JupyterLab's theme: Light or Dark."""
        self.page.evaluate(_THEME, f"JupyterLab {name}")
        light = "true" if name == "Light" else "false"
        self.page.wait_for_selector(f"body[data-jp-theme-light='{light}']", state="attached")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def shoot(self, selector: str, name: str) -> None:
        """Keep a picture of an element, all of it: a scrolling page would cut it."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        before = self.page.viewport_size or {"width": 1240, "height": 1400}
        one = self.page.locator(selector)
        box = one.bounding_box()
        needed = int(box["height"]) + 200 if box else 0
        self.page.set_viewport_size({**before, "height": max(before["height"], needed)})
        one.evaluate("(e) => e.scrollIntoView()")
        one.screenshot(path=SCREENSHOTS / f"{name}.png")
        self.page.set_viewport_size(before)

    def text(self, cell: int) -> str:
        """What the output area of a cell shows."""
        return str(self.page.evaluate(_OUTPUT, cell))


def _inside_only(route: Route, outside: list[str]) -> None:
    parts = urlsplit(route.request.url)
    if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
        outside.append(route.request.url)
        route.abort()
    else:
        route.continue_()


_IDLE = """() => {
  const app = window.jupyterapp;
  const kernel = app?.shell?.currentWidget?.sessionContext?.session?.kernel;
  return kernel?.status === 'idle' && app.shell.currentWidget.content.widgets.length > 0;
}"""
#: JupyterLab's widget manager of the notebook, as `window.manager`.
_MANAGER = """async () => {
  const { rendermime } = window.jupyterapp.shell.currentWidget.content;
  const mimeType = 'application/vnd.jupyter.widget-view+json';
  const renderer = rendermime.getFactory(mimeType).createRenderer({ mimeType });
  window.manager = await renderer._manager.promise;
  renderer.dispose();
}"""
_RUN = """(index) => {
  const panel = window.jupyterapp.shell.currentWidget;
  panel.content.activeCellIndex = index;
  window.countBefore = panel.content.widgets[index].model.executionCount;
  window.jupyterapp.commands.execute('notebook:run-cell');
}"""
_BEGUN = """(index) => {
  const model = window.jupyterapp.shell.currentWidget.content.widgets[index].model;
  return model.executionState === 'running' || model.executionCount !== window.countBefore;
}"""
_ENDED = """(index) => {
  const cell = window.jupyterapp.shell.currentWidget.content.widgets[index];
  return cell.model.executionState !== 'running' && cell.model.executionCount !== null;
}"""
_INTERRUPT = """() =>
  window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()"""
_THEME = "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
_OUTPUT = """(index) =>
  window.jupyterapp.shell.currentWidget.content.widgets[index].outputArea.node.innerText"""
