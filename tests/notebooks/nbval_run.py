"""Runs notebooks: under nbval as a test runner of its own, or cell by cell with cells replaced."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from fqdnlab.lab.backends import BACKEND
from fqdnlab.node.plan import Plan
from fqdnlab.patience import PATIENCE, patiently
from fqdnlab.vagrant.site import SITE

__all__ = ["SECONDS", "Ran", "nbval", "outcomes"]

_CELL_SECONDS = 60
#: nbval's limit for a notebook, on a machine of our own.
SECONDS = 170


@dataclass(frozen=True)
class Ran:
    """What nbval said of a notebook."""

    status: int
    text: str

    @property
    def failed(self) -> list[str]:
        """The cells that failed, as nbval names them."""
        lines = [line for line in self.text.splitlines() if line.startswith("FAILED")]
        return [line.partition("::")[2].split(" - ")[0] for line in lines]

    @property
    def asserted(self) -> list[str]:
        """What failed assertions said (of a cell's others the report has the source)."""
        plain = re.sub(r"\x1b\[[0-9;]*m", "", self.text)
        return re.findall(r"^AssertionError: (.*)", plain, re.MULTILINE)


def _environment(home: Path, startup: str) -> dict[str, str]:
    """A kernel that reads nobody's profile; `startup` is run in it before the first cell."""
    folder = home / "ipython" / "profile_default" / "startup"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "00-first.py").write_text(startup)
    # where labs are, and nothing of how the tests are run
    ours = {k: v for k, v in os.environ.items() if k in (BACKEND, PATIENCE) or k in SITE}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "FQDNLAB"))}
    return {
        **kept,
        **ours,
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "PYTHONWARNINGS": "ignore",
    }


def _as_user(argv: list[str], env: dict[str, str], uid: int, home: Path) -> list[str]:
    """The command, run by a user who owns `home` and may read the code, wherever that is."""
    for path in (home, *home.rglob("*")):
        os.chown(path, uid, uid)
    code = [str(Path(__file__).parents[2]), sys.prefix, sys.base_prefix]
    plan = Plan(argv, env, uid=uid, gid=uid, readable=code, cwd=str(home))
    return [sys.executable, "-P", "-m", "fqdnlab.node.spawn", plan.to_json()]


def nbval(notebook: Path, home: Path, startup: str = "", uid: int = 0) -> Ran:
    """Run every cell, compare the outputs that are marked, in a kernel of its own.

    Parameters
    ----------
    notebook : Path
    home : Path
        An empty folder.
    startup : str
        Python that the kernel runs first: how a mechanism is disabled.
    uid : int
        Whose processes they are; of another user than root, `home` becomes the user's own.
    """
    words = [
        "--nbval-lax",
        "--nbval-current-env",
        f"--nbval-cell-timeout={patiently(_CELL_SECONDS):.0f}",
    ]
    words += ["-c", os.devnull, "--rootdir", str(notebook.parent), "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *words, "-q", "-rf", "--tb=short", str(notebook)]
    env = _environment(home, startup)
    done = subprocess.run(
        _as_user(command, env, uid, home) if uid else command,
        env=env,
        capture_output=True,
        text=True,
        timeout=patiently(SECONDS),
        cwd=notebook.parent,
    )
    return Ran(done.returncode, done.stdout + done.stderr)


def outcomes(notebook: Path, answers: Mapping[str, Sequence[str | None]]) -> dict[str, list[str]]:
    """Run the notebook with each exercise answered several times, as a student would.

    Parameters
    ----------
    notebook : Path
    answers : mapping of str to sequence of str or None
        Exercise → code for its cell, in order; None: as it stands.

    Returns
    -------
    dict of str to list of str
        Exercise → what its check printed after each answer.
    """
    book = nbformat.read(notebook, as_version=4)
    cells: list[Any] = []
    checks: dict[str, list[Any]] = {number: [] for number in answers}
    pending = None  # the exercise's cell: repeated, with its check, for each answer
    for cell in book.cells:
        number = cell.metadata.get("fqdnlab", {}).get("exercise", "")
        if number:
            pending = (number, cell)
        elif pending is not None and f'check("{pending[0]}"' in cell.source:
            for answer in answers[pending[0]]:
                cells += [_copy(pending[1], answer), judged := _copy(cell, None)]
                checks[pending[0]].append(judged)
            pending = None
        else:
            cells.append(cell)
    assert pending is None, f"no cell checks exercise {pending}"
    book.cells = cells
    where = {"metadata": {"path": str(notebook.parent)}}
    client = NotebookClient(
        book, timeout=int(patiently(_CELL_SECONDS)), kernel_name="python3", resources=where
    )
    client.execute()
    return {number: [_printed(cell) for cell in found] for number, found in checks.items()}


def _copy(cell: Any, source: str | None) -> Any:
    made = nbformat.v4.new_code_cell(cell.source if source is None else source)
    made.metadata["tags"] = list(cell.metadata.get("tags", []))
    return made


def _printed(cell: Any) -> str:
    for output in cell.outputs:
        if output.output_type == "execute_result":
            return str(output.data["text/plain"])
    raise AssertionError(f"the check printed nothing: {cell.outputs}")
