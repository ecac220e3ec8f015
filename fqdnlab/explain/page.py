"""An explanation as HTML: a fragment without scripts, light or dark as the page around it is."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

__all__ = ["page"]

#: Told apart by colour-blind people, and read on white and on black.
_COLOURS = {
    "ok": "#1A84C7",
    "missing": "#D55E00",
    "denied": "#D55E00",
    "unknown": "#777777",
    "note": "#777777",
}
_LABELS = {"lab": "", "recording": "recorded", "export": "from exports"}
_WORDS = {
    "ok": "holds",
    "missing": "is missing",
    "denied": "denies",
    "unknown": "unknown",
    "note": "note",
}


def page(explanation: Mapping[str, Any], headline: str, glyphs: Mapping[str, str]) -> str:
    """The fragment.

    Parameters
    ----------
    explanation : dict
        `Explanation.to_dict`.
    headline : str
    glyphs : dict
        State → glyph.
    """
    label = _LABELS[explanation["source"]]
    badge = f' <span style="{_BADGE}">{label}</span>' if label else ""
    good = explanation["verdict"] in ("FORWARDED", "REDIRECTED")
    colour = _COLOURS["ok" if good else "denied"]
    parts = [
        f'<section class="fqdnlab-explanation" aria-label="Explanation" style="{_BOX}">',
        f'<div style="font-weight:600">{escape(explanation["about"])}{badge}</div>',
        f'<div style="color:{colour};font-weight:600;margin:.2em 0 .6em">{escape(headline)}</div>',
        '<ol style="list-style:none;margin:0;padding:0">',
        *(_step(step, glyphs[step["state"]]) for step in explanation["steps"]),
        "</ol>",
        _remedy(explanation["remedy"]),
        *(
            f'<div style="{_DIM}">? Cannot be known: {escape(w)}</div>'
            for w in explanation["unknown"]
        ),
        "</section>",
    ]
    return "".join(parts)


_BOX = (
    "font:13px/1.45 system-ui,sans-serif;color:inherit;max-width:60em;"
    "border:1px solid rgba(128,128,128,.4);border-radius:6px;padding:.7em 1em"
)
_BADGE = "border:1px solid currentColor;border-radius:4px;padding:0 .4em;font-weight:400"
_DIM = "opacity:.75"
_CODE = (
    "font:12px/1.4 ui-monospace,DejaVu Sans Mono,monospace;white-space:pre;overflow-x:auto;"
    "background:rgba(128,128,128,.12);border-radius:4px;padding:.5em .7em;margin:.4em 0"
)


def _step(step: Mapping[str, Any], glyph: str) -> str:
    colour = _COLOURS[step["state"]]
    entries = step["data"].get("entries", ())
    rows = "".join(f"{escape(' · '.join(entry))}\n" for entry in entries)
    more = f'<pre style="{_CODE}">{rows}</pre>' if rows else ""
    return (
        '<li style="display:flex;gap:.6em;margin:.15em 0">'
        f'<span role="img" aria-label="{_WORDS[step["state"]]}" '
        f'style="color:{colour};font-weight:700;flex:0 0 1em">{glyph}</span>'
        f'<div style="min-width:0"><b>{escape(step["title"])}</b> '
        f"{escape(step['detail'])}{more}</div></li>"
    )


def _remedy(remedy: Mapping[str, Any] | None) -> str:
    if remedy is None:
        return ""
    policy = f'<pre style="{_CODE}">{escape(remedy["policy"])}</pre>' if remedy["policy"] else ""
    then = f"<div>Then {escape(remedy['then'])}.</div>" if remedy["then"] else ""
    return (
        '<div style="border-top:1px solid rgba(128,128,128,.4);margin-top:.6em;padding-top:.5em">'
        f"<b>→ {escape(remedy['text'])}</b>{policy}{then}</div>"
    )
