"""The demo, as a person starts it, with its labs in the machines."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fqdnlab.lab.backends.vagrant import VagrantBackend
from tests.vm.vm_kit import python

pytestmark = pytest.mark.timeout(700)


def test_all_nine_claims_hold(machines: VagrantBackend, tmp_path: Path) -> None:
    words = ("-m", "fqdnlab.demo", "--backend", "vagrant", "--out", str(tmp_path), "--name", "demo")
    status, said = python(*words, timeout=650, env={"COLUMNS": "80"})
    assert status == 0, said
    assert said.count("▲ holds") == 9, said
    assert "✕" not in said, said
    rate = re.search(r"(\d+) questions/s for .* asked, (\d+)", " ".join(said.split()))
    assert rate, said
    assert int(rate[1]) >= 50, "a quarter of what the direct path sustains, at least 50/s"
    flows = [json.loads(line) for line in (tmp_path / "flows.jsonl").read_text().splitlines()]
    assert {f["flow"]["verdict"] for f in flows if "flow" in f} >= {"FORWARDED", "DROPPED"}
    assert [one["name"] for one in machines.list()] == [], "it leaves nothing"
