"""Every claim of the demo fails when its mechanism is spoiled, and fails for that reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fqdnlab.demo import CLAIMS, Story
from fqdnlab.demo.story import SETTINGS
from fqdnlab.lab import Lab, machine_service
from tests.demo.saboteurs import SABOTEURS, Saboteur


@pytest.fixture(scope="module", autouse=True)
def machine() -> Iterator[None]:
    with machine_service():
        yield


def test_every_claim_has_a_saboteur() -> None:
    assert {s.claim for s in SABOTEURS} == set(CLAIMS)


@pytest.mark.parametrize("saboteur", SABOTEURS, ids=lambda s: f"{s.claim}: {s.name}")
def test_the_claim_fails(saboteur: Saboteur) -> None:
    with Lab("saboteur", **SETTINGS, **saboteur.settings) as lab:
        story = Story(lab, saboteur.hooks, rate=300.0, patience=2.0)
        outcomes = {o.claim.number: o for o in story.play(last=saboteur.claim)}
    spoiled = outcomes[saboteur.claim]
    assert any(saboteur.seen in failure for failure in spoiled.failures), spoiled.observed
    assert not spoiled.holds
