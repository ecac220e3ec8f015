"""For each exercise: a solution, and wrong answers as a student may give them.

The solutions are those of notebooks/solutions/ (`solution` reads them there).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

__all__ = ["NOTEBOOKS", "WRONG", "exercises", "solution"]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

#: Exercise → code of typical wrong answers, each with words that its diagnosis must have.
WRONG = {
    "00.1": {
        'lab.world["img.example.com"] = ["203.0.113.20"]\n'
        'answer = web.connect("img.example.com", 80)': "it reached 203.0.113.20"
    },
    "01.1": {"answer = 1": "the proxy refuses what no DNS rule allows"},
    "01.2": {
        'policy = Path("policies/01-with-dns.yaml").read_text().replace(\n'
        '    "  - toFQDNs:\\n", "  - toFQDNs:\\n    - matchName: img.example.com\\n")': "rules.dns"
    },
    "02.1": {'answer = "*.example.com"': "does not match a.b.example.com"},
    "02.2": {
        'answer = ["example.com", "myexample.com", "www.example.com"]': "'www.example.com' is not"
    },
    "03.1": {"answer = 9": "the row of 198.51.100.7"},
    "03.2": {"answer = 2": "the kernel has no 203.0.113.19 yet"},
    "04.1": {
        "done = True": "the kernel does not know 198.51.100.9 yet",
        'lab.world["api.example.com"] = ["198.51.100.9"]\ndone = True': "look it up in web (dig)",
    },
    "05.1": {'answer = {"resolving names", "new addresses"}': "'resolving names' is not"},
    "05.2": {"answer = 15000": "no answer was held to its deadline yet"},
    "06.1": {'answer = "some"': "compare surge.started with seen"},
    "07.1": {"answer = 30": "plus one interval"},
    "07.2": {'answer = "idle_grace"': "a *shortest* time to live"},
    "08.1": {"answer = 0.1": "in milliseconds"},
    "08.2": {"answer = True": "nothing to wait for"},
    "09.1": {
        'answer = {"a DNS rule that denies it",\n'
        '    "an egressDeny by CIDR on the address"}': "'a DNS rule that denies it' is not"
    },
    "10.1": {'policy = open("policies/10-http.yaml").read()': "it is still not enforced"},
    "11.1": {
        'policy = open("policies/11-open-https.yaml").read()\n'
        'policy = policy.replace("egress:", "egressDeny:")': "one named web-open-https replaces it",
        'lab.apply("policies/11-open-https.yaml")\n'
        'policy = open("policies/11-open-https.yaml").read()\n'
        'policy = policy.replace("web-open-https", "web-deny")\n'
        'policy = policy.replace("egress:", "egressDeny:")': "deny 192.0.2.0/24 alone",
    },
}


@cache
def _cells(path: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(path.read_text())["cells"]
    return found


def _number(cell: dict[str, object]) -> str:
    metadata = cell["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata.get("fqdnlab", {}).get("exercise", ""))


def exercises(notebook: Path) -> list[str]:
    """Numbers of the exercises in a notebook."""
    return [number for cell in _cells(notebook) if (number := _number(cell))]


def solution(exercise: str) -> str:
    """The code that stands in notebooks/solutions/ for an exercise."""
    (path,) = (NOTEBOOKS / "solutions").glob(f"{exercise.partition('.')[0]}-*.ipynb")
    (cell,) = (c for c in _cells(path) if _number(c) == exercise)
    source = cell["source"]
    return "".join(source) if isinstance(source, list) else str(source)
