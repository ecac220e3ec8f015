"""Notebook 05 (kill the agent) on the machines: by the environment alone, as nbval runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fqdnlab.lab.backends.vagrant import VagrantBackend
from tests.notebooks.nbval_run import nbval
from tests.vm.vm_kit import ROOT

pytestmark = pytest.mark.timeout(900)


def test_notebook_05_says_there_what_it_says_here(machines: VagrantBackend, tmp_path: Path) -> None:
    (book,) = (ROOT / "notebooks").glob("05-*.ipynb")
    link = machines.machines.link("node")
    since = link.run("date", "+@%s").strip()
    ran = nbval(book, tmp_path)
    assert ran.status == 0, ran.text
    assert machines.list() == [], "it leaves no lab"
    log = link.run("sudo", "journalctl", "-u", "fqdnlab", "-o", "cat", "--since", since)
    name = re.search(r'Lab\("([^"]+)"', book.read_text().replace("\\", ""))
    assert name is not None
    for done in ("up", "down"):
        assert f": {done} {name[1]}\n" in log, "it was made there, and not on this machine"
