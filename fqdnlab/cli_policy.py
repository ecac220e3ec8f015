"""``fqdnlab policy validate`` and ``match``: what needs neither root nor a lab.

`policy` is a click group; the command line as a whole adds it, and commands that need a lab to it.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from fqdnlab.model.lint import lint
from fqdnlab.model.names import dns_selector_matcher, fqdn_matcher, validate_selector
from fqdnlab.model.policy import FQDNSelector
from fqdnlab.model.policy_parser import CheckedDocument, check_documents
from fqdnlab.model.status import PROFILES, policy_report

__all__ = ["cli", "policy"]


@click.group()
def policy() -> None:
    """Policies: what they say, before anything enforces them."""


@policy.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@click.option("--profile", type=click.Choice(PROFILES), help="Only this profile's status.")
@click.option("-n", "--namespace", default="default", help="Of policies that name none.")
def validate(files: tuple[str, ...], output: str, profile: str | None, namespace: str) -> None:
    """Say of each document in FILE... whether it is a policy, and what it does ('-': input).

    Ends with 0 if all are accepted, 1 if not.
    """
    documents = [document for file in files for document in _read(file, namespace)]
    profiles = (profile,) if profile else PROFILES
    if output == "json":
        rows = [_row(document, profiles) for document in documents]
        click.echo(json.dumps(rows, indent=2))
    else:
        _show(documents, profiles)
    sys.exit(0 if all(document.accepted for document in documents) else 1)


def _read(file: str, namespace: str) -> list[CheckedDocument]:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        documents = check_documents(raw.decode("utf-8-sig"), file, namespace)
    except OSError as error:
        return [_unreadable(file, f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return [_unreadable(file, "UTF-8 is expected", line)]
    return documents or [_unreadable(file, "a policy is expected: there is no document in it")]


def _unreadable(file: str, problem: str, line: int = 1) -> CheckedDocument:
    return CheckedDocument(file, 0, line, (("", line, problem),))


def _row(document: CheckedDocument, profiles: tuple[str, ...]) -> dict[str, Any]:
    found = document.policy
    reports = [policy_report(found, name) for name in profiles] if found else []
    return {
        "file": document.file,
        "document": document.document,
        "accepted": document.accepted,
        "errors": [
            {"path": path, "line": line, "message": problem}
            for path, line, problem in document.faults
        ],
        "status": [row for report in reports for row in report.rows()],
        "kind": found.kind if found else "",
        "namespace": found.namespace if found else "",
        "name": found.name if found else "",
        "lint": [
            {"path": remark.path, "line": remark.line, "message": remark.reason}
            for remark in (lint(found) if found else ())
        ],
    }


def _show(documents: list[CheckedDocument], profiles: tuple[str, ...]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("file", "document", "policy", "answer", *profiles):
        table.add_column(heading, no_wrap=True)
    for document in documents:
        found = document.policy
        reports = [policy_report(found, name).word if found else "-" for name in profiles]
        answer = "accepted" if found else "rejected"
        name = f"{found.kind} {found.name}" if found else "-"
        table.add_row(document.file, str(document.document), name, answer, *reports)
    # Into a pipe, as wide as it needs to be.
    width = None if sys.stdout.isatty() else 400
    console = Console(width=width, soft_wrap=True, highlight=False, markup=False)
    console.print(table)
    for document in documents:
        for line in _lines(document, profiles):
            console.print(line)


def _lines(document: CheckedDocument, profiles: tuple[str, ...]) -> Iterator[str]:
    """``file:line: path: what``, as compilers write it."""
    for path, line, problem in document.faults:
        yield f"{document.file}:{line}: error: {path + ': ' if path else ''}{problem}"
    found = document.policy
    if found is None:
        return
    for remark in found.remarks:
        if remark.profile in ("", *profiles):
            under = f" under {remark.profile}" if remark.profile else ""
            what = "makes the policy without effect" if remark.voids else "is not enforced"
            yield f"{document.file}:{remark.line}: {remark.path} {what}{under}: {remark.reason}"
    for remark in lint(found):
        yield f"{document.file}:{remark.line}: warning: {remark.path}: {remark.reason}"


@policy.command()
@click.argument("selector")
@click.argument("names", nargs=-1)
def match(selector: str, names: tuple[str, ...]) -> None:
    """Say whether SELECTOR matches each of NAMES, as toFQDNs and as rules.dns.

    SELECTOR is matchName=NAME or matchPattern=PATTERN; '-' reads lines of selector, tab, name.
    A line an answer, tab-separated: selector, name, toFQDNs, rules.dns; yes, no or invalid.
    Ends with 0 if every selector is valid, 1 if not.
    """
    if selector == "-" and names:
        raise click.UsageError("'-' takes no names: they come with the selectors")
    if selector != "-" and not names:
        raise click.UsageError("a name is expected after the selector")
    pairs = _pairs() if selector == "-" else ((selector, name) for name in names)
    out = sys.stdout.buffer
    problems: dict[str, str] = {}
    for text, name in pairs:
        problem, learned, asked = _tests(text)
        if problem:
            problems[text] = problem
        answers = ["invalid"] * 2 if problem else [_word(learned(name)), _word(asked(name))]
        out.write("\t".join((text, name, *answers)).encode("utf-8", "surrogateescape") + b"\n")
    out.flush()
    for text, problem in problems.items():
        click.echo(f"{text}: {problem}", err=True)
    sys.exit(1 if problems else 0)


def _pairs() -> Iterator[tuple[str, str]]:
    for raw in sys.stdin.buffer:
        line = raw.decode("utf-8", "surrogateescape").removesuffix("\n")
        if line:
            selector, _, name = line.partition("\t")
            yield selector, name


def _word(answer: bool) -> str:
    return "yes" if answer else "no"


Test = Callable[[str], bool]


def _never(_name: str) -> bool:
    return False


@functools.lru_cache(maxsize=4096)
def _tests(text: str) -> tuple[str, Test, Test]:
    """(what is wrong, test as toFQDNs, test as rules.dns) of a selector's text."""
    key, equals, value = text.partition("=")
    if key == "matchName" and equals:
        selector = FQDNSelector(match_name=value)
    elif key == "matchPattern" and equals:
        selector = FQDNSelector(match_pattern=value)
    else:
        return "matchName=NAME or matchPattern=PATTERN is expected", _never, _never
    if problem := validate_selector(selector):
        return problem, _never, _never
    return "", fqdn_matcher(selector), dns_selector_matcher(selector)


@click.group()
def cli() -> None:
    """Policies, without a lab."""


cli.add_command(policy)

if __name__ == "__main__":
    cli(prog_name="fqdnlab")
