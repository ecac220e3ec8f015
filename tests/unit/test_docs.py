"""What documents show as an example is what the code writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fqdnlab.agent.rulesfile import write_rules
from tests.unit.agent.kit import WEB, Agent

ARCHITECTURE = Path(__file__).parents[2] / "docs/architecture.md"


def shape(value: Any, numbered: bool = False) -> Any:
    """Keys and kinds of values; of a table by number and of a list: those of its last item."""
    if isinstance(value, dict):
        if numbered:
            return {"N": shape([*value.values()][-1])}
        return {
            key: shape(v, key in ("rules", "endpoints", "identities")) for key, v in value.items()
        }
    if isinstance(value, list):
        return [shape(value[-1])]
    return type(value).__name__


def test_the_example_of_rules_json_is_of_the_shape_that_is_written(tmp_path: Path) -> None:
    agent = Agent(WEB)
    agent.learn("api.example.com.", "198.51.100.7")
    write_rules(tmp_path / "rules.json", agent.state)
    text = ARCHITECTURE.read_text().partition("## rules.json")[2]
    shown = json.loads(text.partition("```json\n")[2].partition("```")[0])
    assert shape(shown) == shape(json.loads((tmp_path / "rules.json").read_text()))
    (rule,) = shown["rules"].values()
    assert "toFQDNs" not in rule["text"], "peers are told by their selectors"
    names = [label.partition("=")[0] for label in rule["labels"]]
    assert names == [f"k8s:io.cilium.k8s.policy.{n}" for n in ("derived-from", "name", "namespace")]
