"""The wheel: made from source, installed elsewhere, used without a compiler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

POLICY = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web-egress}
spec:
  endpointSelector: {matchLabels: {app: web}}
  egress:
  - toFQDNs: [{matchName: api.example.com}]
"""


#: Says each panel class, and whether it has its script and its styles.
PANELS = """
import importlib, pkgutil
import anywidget, fqdnlab.notebook
for module in pkgutil.iter_modules(fqdnlab.notebook.__path__):
    if module.name != "__main__":
        importlib.import_module(f"fqdnlab.notebook.{module.name}")
def below(kind):
    return [kind, *(k for sub in kind.__subclasses__() for k in below(sub))]
for kind in below(anywidget.AnyWidget):
    if kind.__module__.startswith("fqdnlab.notebook.") and hasattr(kind, "_esm"):
        print(kind.__name__, "export default" in str(kind._esm), "--fq-" in str(kind._css))
"""


def run(*command: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=280
    )


def build(source: Path, out: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return run(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source,
        cwd=out.parent, **env,
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_a_wheel_of_a_bare_clone_carries_what_is_made_and_works_elsewhere(
    clone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "dist"
    done = build(clone, out)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")

    names = zipfile.ZipFile(wheel).namelist()
    wanted = [f"fqdnlab/datapath/objects/{p.stem}.o" for p in (ROOT / "bpf").glob("*.bpf.c")]
    wanted += [
        f"fqdnlab/pb/{p.stem}_pb2_grpc.py" for p in (ROOT / "proto/fqdnlab/pb").glob("*.proto")
    ]
    panels = [p for p in (clone / "fqdnlab/notebook").rglob("*") if p.suffix != ".pyc"]
    wanted += [str(p.relative_to(clone)) for p in panels if p.is_file()]
    assert {".js", ".css", ".json", ".py"} <= {Path(name).suffix for name in wanted}
    assert set(wanted) <= set(names)
    assert not [n for n in names if n.startswith(("tests/", "bpf/"))]

    # A venv of its own that borrows our dependencies and has no compiler on its PATH.
    venv = tmp_path / "venv"
    assert run(sys.executable, "-m", "venv", venv, cwd=tmp_path).returncode == 0
    pip = run(
        venv / "bin/python", "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=tmp_path
    )
    assert pip.returncode == 0, pip.stderr
    ours = next(p for p in sys.path if p.endswith("site-packages"))
    site = next((venv / "lib").glob("python*/site-packages"))
    (site / "borrowed.pth").write_text(ours + "\n")
    # The borrowed folder's .pth files (the editable install of ours) are not followed by that.
    where = run(venv / "bin/python", "-c", "import fqdnlab; print(fqdnlab.__file__)", cwd=tmp_path)
    assert where.stdout.startswith(str(site)), where.stdout + where.stderr

    told = run(venv / "bin/python", "-P", "-c", PANELS, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    built = [line.split() for line in told.stdout.splitlines()]
    assert len(built) >= 9, told.stdout
    assert [words for words in built if words[1:] != ["True", "True"]] == []

    (tmp_path / "policy.yaml").write_text(POLICY)
    bare = str(venv / "bin")
    told = run(
        venv / "bin/fqdnlab",
        "policy",
        "validate",
        "-o",
        "json",
        "policy.yaml",
        cwd=tmp_path,
        PATH=bare,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert json.loads(told.stdout)[0]["accepted"] is True


def test_a_build_without_what_it_needs_says_what(clone: Path, tmp_path: Path) -> None:
    out = tmp_path / "dist"
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    done = build(clone, out, PATH=str(nothing))
    assert done.returncode != 0
    assert "apt-get install make clang libbpf-dev bpftool" in done.stdout + done.stderr


def test_equal_sources_make_equal_objects(clone: Path, tmp_path: Path) -> None:
    """In another folder, at another time: the same octets as here."""
    make = ["make", "bpf", f"PYTHON={sys.executable}"]
    done = run(*make, cwd=clone)
    assert done.returncode == 0, done.stdout + done.stderr
    objects = sorted((clone / "fqdnlab/datapath/objects").glob("*.bpf.o"))
    assert objects
    for made in objects:
        assert made.read_bytes() == (ROOT / made.relative_to(clone)).read_bytes(), made.name
