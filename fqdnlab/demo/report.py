"""The report: one self-contained page with the verdicts, the timeline and the policy."""

from __future__ import annotations

import html
from collections.abc import Sequence

import plotly.graph_objects as go

from fqdnlab.demo.claims import Outcome

__all__ = ["render"]

_STYLE = """
:root { --ink:#1d2129; --soft:#5d6673; --line:#d9dde3; --page:#fff; --panel:#f6f7f9;
  --good:#0072B2; --bad:#C25400; color-scheme: light dark }
@media (prefers-color-scheme: dark) { :root { --ink:#e7e9ec; --soft:#a2aab6; --line:#3a404a;
  --page:#16181d; --panel:#1f2229; --good:#56B4E9; --bad:#F0883E } }
* { box-sizing: border-box }
body { margin:0 auto; max-width:1240px; padding:24px 20px 60px; background:var(--page);
  color:var(--ink); font:14px/1.45 Inter,system-ui,sans-serif }
h1 { font-size:19px; margin:0 }
h2 { font-size:12px; letter-spacing:.05em; text-transform:uppercase; color:var(--soft);
  margin:0 0 8px; font-weight:600 }
h2 small { text-transform:none; letter-spacing:0; font-weight:400; font-size:12px; margin-left:8px }
header { display:flex; gap:14px; align-items:baseline; flex-wrap:wrap }
header span { color:var(--soft); font-size:13px }
.sentence { border-left:3px solid var(--good); background:var(--panel); padding:11px 14px;
  margin:14px 0 16px; font-size:15px }
.sentence.bad { border-color:var(--bad) }
section { border:1px solid var(--line); border-radius:6px; padding:14px 16px; margin:0 0 16px;
  overflow-x:auto; min-width:0 }
table { border-collapse:collapse; width:100% }
th { text-align:left; font-weight:500; color:var(--soft) }
th,td { padding:7px 14px 7px 0; border-bottom:1px solid var(--line); vertical-align:top }
tr:last-child td { border-bottom:0 }
.n { font-variant-numeric:tabular-nums; color:var(--soft) }
.seen { color:var(--soft) } .verdict { font-weight:600; white-space:nowrap; padding-right:18px }
.holds { color:var(--good) } .fails { color:var(--bad) }
code,pre { font:12px/1.5 "DejaVu Sans Mono",ui-monospace,monospace }
pre { margin:0; white-space:pre }
.two { display:grid; grid-template-columns:1fr 1fr; gap:16px; align-items:start }
/* The figure's neutral ink and its blue words follow the page. */
.js-plotly-plot text[style*="rgb(115, 122, 133)"] { fill:var(--soft) !important }
.js-plotly-plot text[style*="rgb(0, 114, 178)"] { fill:var(--good) !important }
.js-plotly-plot text[style*="rgb(213, 94, 0)"] { fill:var(--bad) !important }
@media (max-width: 900px) {
  .two { grid-template-columns:1fr }
  .claims thead { display:none }
  .claims tr { display:grid; grid-template-columns:24px 1fr auto; padding:8px 0;
    border-bottom:1px solid var(--line) }
  .claims tr:last-child { border-bottom:0 }
  .claims td { border:0; padding:1px 14px 1px 0 }
  .claims td.more { grid-column:2 / 4; order:1 }
  .claims td.more::before { content:attr(data-what) ": "; color:var(--soft) }
}
"""


def render(
    outcomes: Sequence[Outcome],
    figure: go.Figure,
    policies: Sequence[tuple[str, str]],
    facts: Sequence[tuple[str, str]],
    when: str,
) -> str:
    """Return the page as text.

    Parameters
    ----------
    outcomes : sequence of Outcome
    figure : plotly Figure
        The timeline.
    policies : sequence of (str, str)
        Title and YAML of each policy.
    facts : sequence of (str, str)
        What the page says of the machine and the run.
    when : str
        Date and time for people.
    """
    failed = [o for o in outcomes if not o.holds]
    plot = figure.to_html(
        full_html=False,
        include_plotlyjs="inline",
        config={"displayModeBar": False, "responsive": True},
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>fqdnlab demo: {len(outcomes) - len(failed)} of {len(outcomes)} claims hold</title>
<style>{_STYLE}</style></head><body>
<header><h1>fqdnlab demo</h1><span>{html.escape(when)}</span></header>
<p class="sentence{" bad" if failed else ""}" role="status">{_sentence(outcomes)}</p>
<section><h2>Flows and names <small>on one time axis: what passed, what did not, and why
</small></h2>{plot}</section>
<section><h2>Claims <small>each judged by what was observed</small></h2>{_table(outcomes)}</section>
<div class="two"><div>{"".join(_policy(t, y) for t, y in policies[:1])}</div>
<div>{"".join(_policy(t, y) for t, y in policies[1:])}
<section><h2>The run</h2><table>{"".join(_fact(k, v) for k, v in facts)}</table></section>
</div></div>
</body></html>
"""


def _sentence(outcomes: Sequence[Outcome]) -> str:
    failed = [o.claim.number for o in outcomes if not o.holds]
    if failed:
        which = ", ".join(map(str, failed))
        return f"✕ <b>{len(failed)}</b> of {len(outcomes)} claims did not hold: {which}."
    return (
        f"▲ All <b>{len(outcomes)}</b> claims hold. The agent was killed and came back, the "
        "world moved an address twice, the proxy was upgraded three times; one connection lived "
        "through all of it."
    )


def _table(outcomes: Sequence[Outcome]) -> str:
    heads = "".join(f"<th>{h}</th>" for h in ("", "claim", "verdict", "expected", "observed"))
    rows = "".join(_row(o) for o in outcomes)
    return f'<table class="claims"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _row(one: Outcome) -> str:
    word, mark = ("holds", "▲ holds") if one.holds else ("fails", "✕ fails")
    return (
        f'<tr><td class="n">{one.claim.number}</td><td>{html.escape(one.claim.text)}</td>'
        f'<td class="verdict {word}">{mark}</td>'
        f'<td class="more" data-what="expected">{html.escape(one.claim.expected)}</td>'
        f'<td class="more seen" data-what="observed">{html.escape(one.observed)}</td></tr>'
    )


def _policy(title: str, yaml: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2><pre>{html.escape(yaml)}</pre></section>"


def _fact(key: str, value: str) -> str:
    return f"<tr><td>{html.escape(key)}</td><td><code>{html.escape(value)}</code></td></tr>"
