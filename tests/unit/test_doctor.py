"""Doctor: each fact that rules labs out is a failure with a remedy, and no other is."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fqdnlab import doctor_checks
from fqdnlab.doctor import doctor, table
from fqdnlab.doctor_checks import Facts, Finding, diagnose, failed, gather

GOOD = Facts(
    system="Linux",
    release="6.1.0-30-amd64",
    python=(3, 11),
    btf=True,
    filesystems=frozenset({"nodev", "bpf", "ext4"}),
    uid=0,
    capabilities=(1 << 41) - 1,
    own_mount_namespace=True,
    max_net_namespaces=1000,
    libbpf="v1.1",
    tools=frozenset({"ip", "tc", "curl", "dig", "bpftool", "clang"}),
    memory_available=4 << 30,
    disk_free=9 << 30,
    run_free=1 << 30,
    ipv6=True,
    bpf_jit=1,
    service=False,
)


def found(check: str, **changes: Any) -> Finding:
    findings = diagnose(dataclasses.replace(GOOD, **changes))
    return next(f for f in findings if f.check == check)


def test_a_good_machine_has_nothing_to_mend() -> None:
    assert [f for f in diagnose(GOOD) if f.level != "ok" or f.remedy] == []


@pytest.mark.parametrize(
    ("check", "changes", "remedy"),
    [
        ("kernel", {"system": "Darwin"}, "on Linux"),
        ("kernel", {"release": "5.15.0-91-generic"}, ">= 6.1"),
        ("kernel", {"release": "odd"}, ">= 6.1"),
        ("kernel types (BTF)", {"btf": False}, "CONFIG_DEBUG_INFO_BTF"),
        ("bpffs", {"filesystems": frozenset({"ext4"})}, "CONFIG_BPF_SYSCALL"),
        ("python", {"python": (3, 9)}, "3.11"),
        ("libbpf.so.1", {"libbpf": None}, "libbpf1"),
        ("privilege", {"capabilities": 0}, "--privileged"),
        ("mount namespace", {"own_mount_namespace": False}, "unshare"),
        ("network namespaces", {"max_net_namespaces": 0}, "user.max_net_namespaces"),
        ("IPv6", {"ipv6": False}, "ipv6.disable"),
        ("disk", {"run_free": 0}, "/run/fqdnlab"),
    ],
)
def test_what_rules_labs_out_fails_with_a_remedy(
    check: str, changes: dict[str, Any], remedy: str
) -> None:
    finding = found(check, **changes)
    assert finding.level == "fail"
    assert remedy in finding.remedy
    assert failed([finding])


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        ("privilege", {"uid": 1000}),
        ("BPF JIT", {"bpf_jit": 0}),
        ("memory", {"memory_available": 1 << 20}),
        ("disk", {"disk_free": 1 << 20}),
        ("tool clang", {"tools": frozenset()}),
    ],
)
def test_what_makes_less_of_it_is_a_warning(check: str, changes: dict[str, Any]) -> None:
    finding = found(check, **changes)
    assert (finding.level, bool(finding.remedy)) == ("warn", True)
    assert not failed([finding])


def test_an_old_kernel_lacks_tcx_and_that_is_no_fault() -> None:
    assert "clsact" in found("attachment").found
    assert found("attachment", release="6.6.1").found == "tcx"
    assert found("attachment", release="6.18.44-x").found == "tcx"


def test_a_user_needs_no_privilege_where_the_service_runs() -> None:
    assert found("privilege", uid=1000, capabilities=0, service=True).level == "ok"


def test_missing_capabilities_are_named() -> None:
    assert "NET_ADMIN" in found("privilege", capabilities=((1 << 41) - 1) & ~(1 << 12)).found


@given(st.text(max_size=20))
def test_no_release_string_breaks_it(release: str) -> None:
    assert found("kernel", release=release).check == "kernel"


def test_facts_of_this_machine_are_told_in_json() -> None:
    result = CliRunner().invoke(doctor, ["--json"])
    findings = [Finding(**f) for f in json.loads(result.stdout)]
    assert result.exit_code == int(failed(findings))
    assert {f.check for f in findings} == {f.check for f in diagnose(GOOD)}
    assert next(f for f in findings if f.check == "kernel").found.endswith(gather().release)


def test_the_table_shows_each_remedy() -> None:
    console = Console(record=True, width=120)
    console.print(table(diagnose(dataclasses.replace(GOOD, libbpf=None, bpf_jit=0))))
    text = console.export_text()
    assert "sudo apt-get install libbpf1" in text
    assert "sysctl net.core.bpf_jit_enable=1" in text


def test_the_checks_run_on_the_standard_library_alone() -> None:
    script = Path(doctor_checks.__file__)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(script), "--json"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (int(failed(diagnose(gather()))), "")
    assert json.loads(done.stdout)[0]["check"] == "kernel"
