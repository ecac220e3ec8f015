"""What a failed test can be judged by: pictures and words of its tabs, the server's log, and what
each kernel's threads were doing.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Error

from fqdnlab.testing import eventually
from tests.browser.jupyter_kit import SCREENSHOTS, Server, Tab

_LINES = 40
_WORDS = 2000

#: Written into IPython's start-up folder: a kernel that gets SIGUSR1 tells its threads.
_STARTUP = """
import faulthandler, os, signal
threads = open(os.path.expanduser(f"~/threads-{os.getpid()}"), "w")
faulthandler.register(signal.SIGUSR1, file=threads)
"""


def prepare(home: Path) -> None:
    """Have kernels that start with this home tell their threads."""
    folder = home / ".ipython" / "profile_default" / "startup"
    folder.mkdir(parents=True)
    (folder / "00-threads.py").write_text(_STARTUP)


def sections(test: str, tabs: list[Tab], server: Server) -> list[tuple[str, str]]:
    """Headed texts for the report of a test that failed."""
    found = [part for number, tab in enumerate(tabs) for part in _of_tab(f"{test}-{number}", tab)]
    found.append(("JupyterLab's log", "\n".join(server.said().splitlines()[-_LINES:])))
    return [*found, *_threads(server)]


def _of_tab(name: str, tab: Tab) -> list[tuple[str, str]]:
    path = SCREENSHOTS / "failed" / f"{name}.png"
    words = ""
    with suppress(Error):  # it is closed, or gone
        words = tab.page.inner_text(".jp-Notebook", timeout=2000)[-_WORDS:]
        path.parent.mkdir(parents=True, exist_ok=True)
        tab.page.screenshot(path=path, timeout=5000)
    return [
        (f"{path} shows", words or "nothing: it cannot be asked"),
        (f"console of {name}", "\n".join(tab.console[-_LINES:])),
    ]


def _threads(server: Server) -> list[tuple[str, str]]:
    found = []
    for pid in _kernels(server.process.pid):
        told = server.home / f"threads-{pid}"
        if not told.exists():  # it has not come so far, and the signal would end it
            continue
        with suppress(OSError, AssertionError):
            os.kill(pid, signal.SIGUSR1)
            eventually(lambda told=told: told.read_text(), 2, "the threads")
        found.append((f"threads of the kernel {pid}", told.read_text()))
    return found


def _kernels(parent: int) -> list[int]:
    """Kernels below a process, by pid."""
    found: list[int] = []
    for task in Path("/proc", str(parent), "task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            command = Path("/proc", str(child), "cmdline").read_bytes()
            found += [child] if b"ipykernel_launcher" in command else _kernels(child)
    return found
