"""Starting JupyterLab: nothing fetched from outside, a token, the machine service at hand."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fqdnlab.errors import FqdnlabError, SetupError
from fqdnlab.lab.backends import backend
from fqdnlab.lab.shell import foreground

__all__ = ["command", "environment", "main"]

_CONFIG = Path(__file__).parent / "config"
_PIP_LINE = "pip install 'fqdnlab[notebook]'"

_START = "start.ipynb"  # opened first, where it is


def command(folder: Path, browser: bool, port: int, more: Sequence[str] = ()) -> list[str]:
    """The command line of JupyterLab.

    Parameters
    ----------
    folder : Path
        What it shows.
    browser : bool
        Whether it opens one.
    port : int
        Or the next that is free.
    more : sequence of str
        Options of JupyterLab's own; they win.
    """
    words = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    words.append(f"--ServerApp.port={port}")
    if (folder / _START).exists():
        words.append(f"--LabApp.default_url=/lab/tree/{_START}")
    if not browser:
        words.append("--no-browser")
    if os.geteuid() == 0:
        words.append("--allow-root")
    return [*words, *more]


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """`given`, with our defaults for JupyterLab behind the user's own configuration.

    They turn off its news, its look for updates and its extension manager, and let buttons be
    heard while a cell runs (config/).
    """
    paths = [*filter(None, given.get("JUPYTER_CONFIG_PATH", "").split(os.pathsep)), str(_CONFIG)]
    return {**given, "JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run JupyterLab till it is ended; return its exit status, or 4 if something is missing."""
    parser = argparse.ArgumentParser(
        prog="fqdnlab notebook",
        description="JupyterLab on FOLDER; labs that it makes end with it, unless a machine "
        "service ran before.",
        epilog="More options are JupyterLab's own, e.g. --ServerApp.ip=0.0.0.0.",
    )
    parser.add_argument("folder", nargs="?", type=Path, default=None, help="notebooks/, else here")
    parser.add_argument("--no-browser", action="store_true", help="print the address and wait")
    parser.add_argument("--port", type=int, default=8888, help="or the next that is free")
    args, more = parser.parse_known_args(argv)
    try:
        folder = _folder(args.folder)
        if importlib.util.find_spec("jupyterlab") is None:
            raise SetupError("JupyterLab is not installed here", _PIP_LINE)
        browser = not args.no_browser and _has_display()
        with backend().service():
            return foreground(command(folder, browser, args.port, more), environment(os.environ))
    except FqdnlabError as error:
        print(f"fqdnlab notebook: {error}", file=sys.stderr)
        return 4


def _folder(given: Path | None) -> Path:
    if given is None:
        ours = Path("notebooks")
        return (ours if ours.is_dir() else Path()).resolve()
    if not given.is_dir():
        raise SetupError(f"there is no folder {given}", "name one that is there")
    return given.resolve()


def _has_display() -> bool:
    """Root's browser would not start, and a machine without a screen has none."""
    if os.geteuid() == 0:
        return False
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
