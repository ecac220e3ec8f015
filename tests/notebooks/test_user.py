"""start.ipynb by an ordinary user: the machine service does what needs root."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.notebooks.answers import NOTEBOOKS
from tests.notebooks.nbval_run import nbval

pytestmark = pytest.mark.timeout(200)

NOBODY = 65534

#: Before the lab is taken down, the kernel tells who it is and what it may reach.
TELLS = """
import json, os
from pathlib import Path
import fqdnlab.lab.lab as module
from fqdnlab.testing import eventually
down = module.Lab.down
def telling(self):
    roots = Path("/run/fqdnlab/.lab", self.name)
    told = {"ids": [*os.getresuid(), *os.getresgid()], "groups": os.getgroups()}
    told["lab"] = Path("/run/fqdnlab", self.name).stat().st_uid
    told["node"] = roots.joinpath("node").stat().st_uid
    told["reads"] = os.access(roots / "node", os.R_OK | os.X_OK)
    told["flows"] = eventually(lambda: len(self.flows()), 20, "flows")
    Path.home().joinpath("told.json").write_text(json.dumps(told))
    down(self)
module.Lab.down = telling
"""


@pytest.mark.usefixtures("no_labs_left")
def test_an_ordinary_user_runs_it_beside_the_machine_service() -> None:
    with tempfile.TemporaryDirectory(prefix="fqdnlab-home-") as folder:
        home = Path(folder)
        shutil.copytree(NOTEBOOKS, home / "notebooks")
        ran = nbval(home / "notebooks/start.ipynb", home, TELLS, NOBODY)
        assert ran.status == 0, ran.text
        told = json.loads((home / "told.json").read_text())
    assert told.pop("flows") > 0
    assert told == {
        "ids": [NOBODY] * 6,
        "groups": [],
        "lab": NOBODY,
        "node": 0,
        "reads": False,
    }
