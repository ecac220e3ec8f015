"""The whole demo: nine claims hold, in time; the report and the flows are whole."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from fqdnlab.demo import CLAIMS, Hooks
from fqdnlab.demo.__main__ import perform
from fqdnlab.lab import machine_service
from tests.demo.browser import screenshot

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "build" / "screenshots"


@dataclass(frozen=True)
class Played:
    out: Path
    exit: int
    printed: str
    seconds: float

    @property
    def report(self) -> str:
        return (self.out / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The demo as a person starts it, 80 columns wide."""
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "fqdnlab.demo", "--out", str(out), "--name", "demo-test"]
    begin = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=180, env={**os.environ, "COLUMNS": "80"}
    )
    return Played(out, done.returncode, done.stdout + done.stderr, time.monotonic() - begin)


def test_all_nine_claims_hold_in_time(played: Played) -> None:
    assert played.exit == 0, played.printed
    assert played.printed.count("▲ holds") == 9, played.printed
    assert "✕" not in played.printed
    assert played.seconds <= 90


def test_its_table_fits_a_narrow_terminal(played: Played) -> None:
    _, _, shown = played.printed.partition("claim, expected, observed")
    assert max(map(len, shown.splitlines()[:-1])) <= 80
    for claim in CLAIMS.values():
        words = " ".join(shown.split()).replace("▲ holds ", "")
        assert claim.text in words


class _Page(HTMLParser):
    """Everything that a page would fetch, and what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)
        self.fetched += [f"{tag} {v}" for k, v in attrs if k in ("src", "href", "srcset") and v]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_whole_and_fetches_nothing(played: Played) -> None:
    page = _Page()
    page.feed(played.report)
    assert (page.fetched, page.open) == ([], [])
    style = played.report.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert played.report.count("▲ holds") == 9
    for text in ("agent killed", "proxy upgraded ×3", "api.example.com → 198.51.100.9",
                 "name: web-egress", "name: batch-http-only"):  # fmt: skip
        assert text in played.report.replace("\\u2192", "→").replace("\\u00d7", "×"), text


def test_the_timeline_shows_every_state(played: Played) -> None:
    traces = _figure(played.report)
    named = {t["name"] for t in traces}
    assert named == {
        "▲ allowed",
        "✕ dropped",
        "enforced: open in the kernel",
        "expired: open to its old connections",
        "resolved, waits for the agent",
        "refused by the proxy",
    }
    assert all(len(t["x"]) for t in traces)


def _figure(report: str) -> list[dict[str, object]]:
    """The traces that the page hands to plotly."""
    call = re.search(r'Plotly\.newPlot\(\s*"[^"]+",\s*', report)
    assert call is not None
    traces, _ = json.JSONDecoder().raw_decode(report[call.end() :])
    assert isinstance(traces, list)
    return traces


def test_each_flow_is_a_line_of_hubbles_json(played: Played) -> None:
    lines = [json.loads(x) for x in (played.out / "flows.jsonl").read_text().splitlines()]
    assert len(lines) > 5000  # two for each question of claim 9, at least
    assert all({"flow", "node_name", "time"} <= set(x) for x in lines)
    verdicts = {x["flow"]["verdict"] for x in lines}
    assert {"FORWARDED", "DROPPED"} <= verdicts
    queries = {x["flow"]["l7"]["dns"]["query"] for x in lines if "l7" in x["flow"]}
    assert {"api.example.com.", "img.cdn.example.com.", "tracker.ads.net."} <= queries
    drops = [x["flow"] for x in lines if x["flow"].get("drop_reason_desc") == "POLICY_DENIED"]
    assert {f["IP"]["destination"] for f in drops} >= {"192.0.2.66", "198.51.100.9"}


@pytest.mark.parametrize(("width", "height", "theme"), [(1280, 1900, "light"), (800, 2300, "dark")])
def test_pictures_of_it_are_kept(played: Played, width: int, height: int, theme: str) -> None:
    picture = SHOTS / f"report-{width}-{theme}.png"
    screenshot(played.out / "report.html", picture, width, height, dark=theme == "dark")
    assert picture.stat().st_size > 50_000


def test_the_picture_of_the_readme_is_kept(played: Played) -> None:
    """build/screenshots/report.png: `make pictures` copies it to docs/img/."""
    screenshot(played.out / "report.html", SHOTS / "report.png", 1280, 660)
    assert 50_000 < (SHOTS / "report.png").stat().st_size <= 300_000


def test_a_claim_that_fails_is_said_everywhere(tmp_path: Path) -> None:
    """Played up to the fourth claim, with an agent that nobody kills."""
    written = io.StringIO()
    with machine_service():
        outcomes = perform(
            Console(file=written, width=200),
            tmp_path,
            "demo-fails",
            hooks=Hooks(kill_agent=lambda _: None),
            last=4,
        )
    assert [o.holds for o in outcomes] == [True, True, True, False]
    assert "NOT: agent is running" in written.getvalue()
    assert "✕ FAILS" in written.getvalue()
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<b>1</b> of 4 claims did not hold: 4." in report
    assert "✕ fails" in report


def test_without_a_machine_service_it_says_how_to_start_one() -> None:
    # As nobody, but only once all is imported: nobody may not be able to read this clone.
    code = (
        "import os, sys, rich._emoji_codes; from fqdnlab.demo.__main__ import main\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); sys.exit(main([]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 4, done.stderr
    assert "sudo fqdnlab serve" in done.stdout
