"""The BPF programs under BPF_PROG_TEST_RUN, on the machines' Linux 6.1."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from fqdnlab.lab.backends.vagrant import VagrantBackend
from tests.vm.vm_kit import ROOT

pytestmark = pytest.mark.timeout(900)

#: What the tests need beside what is there; binaries for the machines' Python.
NEEDS = ("pytest", "pytest-timeout", "hypothesis", "scapy")
#: Left out, as they take minutes where the machine is emulated: packets by the thousand each.
LONG = "not flood and not malformed"


def packed(to: Path) -> Path:
    """The tests, and what they are run with."""
    site = to / "site"
    there = ["--python-version", "3.11", "--implementation", "cp", "--only-binary=:all:"]
    there += ["--platform", "manylinux_2_17_x86_64", "--constraint", "tools/constraints.txt"]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, *there, "--target", str(site), *NEEDS], check=True, timeout=200, cwd=ROOT)
    archive = to / "tests.tar"
    with tarfile.open(archive, "w") as out:
        out.add(site, "site")
        for name in ("tests", "bpf", "pyproject.toml"):
            out.add(ROOT / name, name, filter=lambda m: None if "__pycache__" in m.name else m)
    return archive


def test_the_enforcer_judges_on_6_1_as_here(machines: VagrantBackend, tmp_path: Path) -> None:
    link = machines.machines.link("node")
    assert link.run("uname", "-r").startswith("6.1.")
    link.put(packed(tmp_path), "/tmp/tests.tar")
    link.run("sh", "-c", "mkdir -p /tmp/t && tar -C /tmp/t -xf /tmp/tests.tar")
    run = "cd /tmp/t && sudo env PYTHONPATH=/tmp/t/site python3 -m pytest -q -x "
    run += f"-p no:cacheprovider -k '{LONG}' --ignore tests/bpf/test_live.py "
    run += "--ignore tests/bpf/test_bench_programs.py tests/bpf"
    said = link.run("sh", "-c", run, timeout=70.0)
    passed = re.search(r"(\d+) passed", said)
    assert passed, said
    assert int(passed[1]) > 300, said
    assert "failed" not in said, said
    assert "skipped" not in said, said
