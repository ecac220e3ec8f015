"""Run notebooks and keep the outputs that a reader wants: text and small HTML, no figures.

    sudo .venv/bin/python tools/notebook_outputs.py notebooks/05-*.ipynb

A machine service must run, or this starts one.  Look at the difference before you commit it: an
output that a cell marked NBVAL_CHECK_OUTPUT stores is what `make notebooks` compares with.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from fqdnlab.lab.machine import machine_service

_MOST = 20_000  # characters of one output


def _small(output: nbformat.NotebookNode) -> bool:
    if output.output_type in ("execute_result", "display_data"):
        for kind in [k for k in output.data if k not in ("text/plain", "text/html")]:
            del output.data[kind]
        if len(output.data.get("text/html", "")) > _MOST:
            del output.data["text/html"]
        return bool(output.data)
    return True


def refresh(path: Path) -> None:
    """Run the notebook at `path` in its folder and write it back."""
    book = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(book, timeout=120, kernel_name="python3", resources=where).execute()
    for cell in book.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _small(output)]
    book.metadata.pop("widgets", None)  # their JavaScript, of the day it ran
    nbformat.write(book, path)
    print(path, "ran")


def main(arguments: list[str]) -> int:
    """Refresh each notebook; stop at the first that fails."""
    with machine_service():
        for argument in arguments:
            refresh(Path(argument))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
