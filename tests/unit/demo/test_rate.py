"""At which rate proxies are upgraded on a slow machine."""

from __future__ import annotations

import pytest

from fqdnlab.demo.claims import CLAIMS
from fqdnlab.demo.rate import at_rate, upgrade_rate


@pytest.mark.parametrize(
    ("wanted", "sustained", "rate"),
    [
        (1000.0, 26000.0, 1000.0),
        (1000.0, 1200.0, 300.0),
        (1000.0, 201.0, 50.0),
        (1000.0, 90.0, 50.0),
        (1000.0, 0.0, 50.0),
        (30.0, 26000.0, 30.0),
    ],
)
def test_a_quarter_at_least_50_at_most_what_is_asked_for(
    wanted: float, sustained: float, rate: float
) -> None:
    assert upgrade_rate(wanted, sustained) == rate


def test_the_claim_says_its_rate() -> None:
    assert "under 300 queries/s" in at_rate(CLAIMS[9], 300.0).text
    assert at_rate(CLAIMS[9], 1000.0) == CLAIMS[9]
