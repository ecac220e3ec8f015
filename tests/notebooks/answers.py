"""For each exercise: a solution, and a wrong answer as a student may give it.

The solutions are those of notebooks/solutions/ (`solution` reads them there).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

__all__ = ["NOTEBOOKS", "WRONG", "exercises", "solution"]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

#: Exercise → code of a typical wrong answer.
WRONG = {
    "00.1": 'lab.world["img.example.com"] = ["203.0.113.20"]\n'
    'answer = web.connect("img.example.com", 80)',
    "01.1": "answer = 1",
    "01.2": 'policy = Path("policies/01-with-dns.yaml").read_text().replace(\n'
    '    "  - toFQDNs:\\n", "  - toFQDNs:\\n    - matchName: img.example.com\\n")',
    "02.1": 'answer = "*.example.com"',
    "02.2": 'answer = ["example.com", "myexample.com", "www.example.com"]',
    "03.1": "answer = 9",
    "03.2": "answer = 2",
    "04.1": "done = True",
    "05.1": 'answer = {"resolving names", "new addresses"}',
    "05.2": "answer = 15000",
    "06.1": 'answer = "some"',
    "07.1": "answer = 30",
    "07.2": 'answer = "idle_grace"',
    "08.1": "answer = 0.1",
    "08.2": "answer = True",
    "09.1": 'answer = {"a DNS rule that denies it", "TLS inspection of the server name"}',
    "10.1": 'policy = open("policies/10-http.yaml").read()',
    "11.1": 'policy = open("policies/11-open-https.yaml").read()\n'
    'policy = policy.replace("web-open-https", "web-deny")\n'
    'policy = policy.replace("egress:", "egressDeny:")',
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
