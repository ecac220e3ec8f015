"""Prometheus' text read back, against what our own processes write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.metrics import Family, exposition
from fqdnlab.model.metrics_text import read_metrics, unit_of

LABELS = st.dictionaries(
    st.from_regex(r"[a-z][a-z_]{0,6}", fullmatch=True),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"])),
    max_size=3,
)


@given(LABELS, st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(['"', "\n", "\\"]))
def test_what_a_process_writes_reads_back(labels: dict[str, str], value: float, odd: str) -> None:
    labels = {**labels, "z": odd}
    ((found,), about) = read_metrics(
        exposition([Family("a_total", "counter", "Help", [(labels, value)])])
    )
    assert (found.name, found.labels, found.value) == ("a_total", labels, value)
    assert about == {"a_total": {"help": "Help", "kind": "counter", "unit": "count"}}


def test_parts_of_a_histogram_belong_to_its_family() -> None:
    series = [("_bucket", {"le": "+Inf"}, 2.0), ("_sum", {}, 0.5), ("_count", {}, 2.0)]
    text = exposition([Family("x_seconds", "histogram", "Time", series)])
    found, about = read_metrics(text)
    assert {m.family for m in found} == {"x_seconds"}
    assert about["x_seconds"]["unit"] == "seconds"


def test_a_line_that_is_no_sample_is_named() -> None:
    with pytest.raises(ValueError, match="line 2: no sample"):
        read_metrics("a 1\nb\n")


def test_units_come_from_names() -> None:
    assert [unit_of(n) for n in ("a_bytes", "a_seconds_total", "a_total")] == [
        "octets",
        "seconds",
        "count",
    ]
