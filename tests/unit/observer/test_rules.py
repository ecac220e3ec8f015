"""What indices mean: rules.json as it was when the packet passed."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from fqdnlab.observer.history import Kind
from tests.observer_data import RULES
from tests.unit.observer.kit import NOW, SECOND, decoder, event, flow_of, write_rules


def test_rules_are_read_as_they_were(tmp_path: Path) -> None:
    """An index means what it meant when the packet passed; a new one is known earlier."""
    made = decoder(tmp_path)
    later = copy.deepcopy(RULES)
    later["rules"]["12"]["policy"] = "renamed"
    later["rules"]["99"] = {"policy": "new", "namespace": "default", "text": "egress[0]"}
    write_rules(tmp_path / "rules.json", later, NOW + 10 * SECOND)
    made.context.rules.refresh()

    def by(**given: int) -> str:
        return flow_of(made, Kind.VERDICT, event(**given)).egress_allowed_by[0].name

    assert by() == "web-egress"
    assert by(time=NOW + 11 * SECOND) == "renamed"
    assert by(rule=99) == "new"
    assert by(rule=1234) == ""  # never heard of: the index is all that is known


@pytest.mark.parametrize(("setting", "most"), [("_KEPT", 5), ("_ENTRIES", 16)])
def test_former_rules_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, most: int
) -> None:
    """By number and by what is in them (four entries each here); the newest are kept."""
    monkeypatch.setattr(f"fqdnlab.observer.rules.{setting}", most)
    made = decoder(tmp_path)
    for i in range(20):
        later = copy.deepcopy(RULES)
        later["rules"]["12"]["policy"] = f"p{i}"
        write_rules(tmp_path / "rules.json", later, NOW + i * SECOND)
        made.context.rules.refresh()

    def at(second: int) -> str:
        flow = flow_of(made, Kind.VERDICT, event(time=NOW + second * SECOND))
        return flow.egress_allowed_by[0].name

    assert [at(i) for i in range(15, 20)] == [f"p{i}" for i in range(15, 20)]
    assert at(3) == "p15"  # forgotten: the oldest that is known


def test_a_broken_rules_file_changes_nothing(tmp_path: Path) -> None:
    made = decoder(tmp_path)
    (tmp_path / "rules.json").write_text('{"rules": {"x": 1}}', encoding="utf-8")
    made.context.rules.refresh()
    assert made.context.rules.faults == 1
    assert flow_of(made, Kind.VERDICT, event()).egress_allowed_by[0].name == "web-egress"
