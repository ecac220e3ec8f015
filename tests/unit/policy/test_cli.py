"""``fqdnlab policy validate`` and ``match``, as they are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fqdnlab.cli_policy import cli
from tests.unit.policy.kit import NEXT, document

GOOD = document("egress: [{toPorts: [{ports: [{port: '53'}], rules: {dns: [{matchName: a}]}}]}]")
STAR = GOOD.replace("matchName: a", "matchPattern: '*'")
BAD = document("egress: [{toCIDR: [nowhere]}]")


def run(*arguments: str, given: bytes | str = "") -> Result:
    return CliRunner().invoke(cli, ["policy", *arguments], input=given)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


def rows(result: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_validate_accepts(file: Path) -> None:
    file.write_text(GOOD)
    result = run("validate", str(file), "-o", "json")
    assert result.exit_code == 0
    (row,) = rows(result)
    assert {k: row[k] for k in ("file", "document", "accepted", "errors")} == {
        "file": str(file),
        "document": 0,
        "accepted": True,
        "errors": [],
    }
    assert row["status"] == [
        {"path": "", "profile": profile, "enforced": True, "reason": ""}
        for profile in ("cilium", "acns")
    ]


def test_validate_says_what_each_profile_does(file: Path) -> None:
    file.write_text(STAR)
    result = run("validate", str(file), "-o", "json")
    assert result.exit_code == 0
    status = {(s["profile"], s["path"]): s["enforced"] for s in rows(result)[0]["status"]}
    place = "spec.egress[0].toPorts[0].rules.dns[0].matchPattern"
    assert status == {("cilium", ""): True, ("acns", ""): False, ("acns", place): False}
    (only,) = rows(run("validate", str(file), "-o", "json", "--profile", "cilium"))
    assert {s["profile"] for s in only["status"]} == {"cilium"}


def test_validate_refuses_with_places(file: Path) -> None:
    file.write_text(f"{GOOD}---\n{BAD}---\na: [\n")
    result = run("validate", str(file), "-o", "json")
    assert result.exit_code == 1
    good, bad, broken = rows(result)
    assert (good["document"], good["accepted"]) == (0, True)
    assert (bad["document"], bad["accepted"], bad["status"]) == (1, False, [])
    (error,) = bad["errors"]
    assert error["path"] == "spec.egress[0].toCIDR[0]"
    assert error["line"] == GOOD.count("\n") + 1 + NEXT
    assert "a network such as 10.0.0.0/8" in error["message"]
    assert (broken["document"], broken["accepted"]) == (2, False)
    assert "not YAML" in broken["errors"][0]["message"]


def test_validate_prints_lines_for_people(file: Path) -> None:
    file.write_text(f"{STAR}---\n{BAD}")
    result = run("validate", str(file))
    assert result.exit_code == 1
    assert "accepted, not enforced" in result.stdout
    line = GOOD.count("\n") + 1 + NEXT
    assert f"{file}:{line}: error: spec.egress[0].toCIDR[0]: a network" in result.stdout
    assert "makes the policy without effect under acns" in result.stdout
    assert "under acns" not in run("validate", str(file), "--profile", "cilium").stdout


def test_validate_warns(file: Path) -> None:
    file.write_text(document("egress: [{toFQDNs: [{matchName: a}]}]"))
    result = run("validate", str(file))
    assert result.exit_code == 0
    assert f"{file}:{NEXT}: warning: spec.egress[0].toFQDNs[0]: no rules.dns" in result.stdout


def test_validate_reads_several_files_and_the_input(tmp_path: Path) -> None:
    names = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for name in names:
        name.write_text(GOOD)
    result = run("validate", *map(str, names), "-", "-o", "json", given=GOOD)
    assert result.exit_code == 0
    assert [row["file"] for row in rows(result)] == [*map(str, names), "-"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        (b"", "a policy is expected"),
        (b"# words\n", "a policy is expected"),
        (b"a: 1\n\xff\n", "UTF-8 is expected"),
    ],
)
def test_validate_refuses_what_is_no_policy(file: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        file.write_bytes(content)
    result = run("validate", str(file), "-o", "json")
    assert result.exit_code == 1
    (row,) = rows(result)
    assert not row["accepted"]
    assert words in row["errors"][0]["message"]
    assert row["errors"][0]["line"] == (2 if content and b"\xff" in content else 1)


def test_validate_takes_a_byte_order_mark(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert run("validate", str(file)).exit_code == 0


def test_validate_uses_the_namespace(file: Path) -> None:
    file.write_text(GOOD)
    (row,) = rows(run("validate", str(file), "-o", "json", "-n", "shop"))
    assert row["namespace"] == "shop"


def test_match() -> None:
    result = run("match", "matchPattern=*.x.io", "a.x.io", "A.X.IO.", "x.io", "a\\032.x.io")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "matchPattern=*.x.io\ta.x.io\tyes\tyes",
        "matchPattern=*.x.io\tA.X.IO.\tyes\tyes",
        "matchPattern=*.x.io\tx.io\tno\tno",
        "matchPattern=*.x.io\ta\\032.x.io\tno\tno",
    ]


def test_match_says_where_the_two_uses_differ() -> None:
    result = run("match", "matchPattern=*", "é.io", ".")
    assert result.stdout.splitlines() == [
        "matchPattern=*\té.io\tno\tyes",
        "matchPattern=*\t.\tyes\tyes",
    ]


@pytest.mark.parametrize(
    "selector", ["matchName=a b", "matchName=", "matchName=*.a", "a.b", "matchRegex=a", "matchName"]
)
def test_match_refuses(selector: str) -> None:
    result = run("match", selector, "a", "b")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{selector}\ta\tinvalid\tinvalid",
        f"{selector}\tb\tinvalid\tinvalid",
    ]
    assert "expected" in result.stderr


def test_match_reads_pairs() -> None:
    given = b"matchName=a.io\ta.io\nmatchPattern=a b\tx\n\nmatchPattern=*.io\tb.io \n"
    result = run("match", "-", given=given + b"matchPattern=*\t\xff\nmatchName=a")
    assert result.exit_code == 1
    assert result.stdout_bytes.splitlines() == [
        b"matchName=a.io\ta.io\tyes\tyes",
        b"matchPattern=a b\tx\tinvalid\tinvalid",
        b"matchPattern=*.io\tb.io \tno\tno",
        b"matchPattern=*\t\xff\tno\tyes",
        b"matchName=a\t\tno\tno",
    ]
    assert run("match", "-", given="matchName=a\ta\n").exit_code == 0


def test_match_wants_names() -> None:
    assert run("match", "matchName=a").exit_code == 2
    assert run("match", "-", "a").exit_code == 2
