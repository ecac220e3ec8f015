"""Doctor for workshops: what machines cannot run without is a failure, each with its remedy."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab import doctor_workshop
from fqdnlab.doctor import doctor
from fqdnlab.doctor_checks import Finding, failed
from fqdnlab.doctor_workshop import GIB, WorkshopFacts, diagnose_workshop
from fqdnlab.vagrant.box import BOX_NAME

GOOD = WorkshopFacts(
    system="Linux",
    release="6.1.0-30-amd64",
    architecture="x86_64",
    python=(3, 11),
    disk_free=9 * GIB,
    disk_place="/var/lib",
    memory_available=6 * GIB,
    kvm="usable",
    nested=False,
    emulate=False,
    vagrant="2.3.4",
    libvirt_plugin="0.11.2",
    virtualbox=None,
    libvirt="libvirt 9.0.0",
    private_libvirt=True,
    prefix="",
    qemu="7.2.22",
    box=BOX_NAME,
    boxes=frozenset({BOX_NAME}),
    site="/srv/fqdnlab/vagrant",
    payload=True,
)


def findings(**changes: Any) -> dict[str, Finding]:
    return {f.check: f for f in diagnose_workshop(dataclasses.replace(GOOD, **changes))}


def test_a_good_machine_has_nothing_to_mend() -> None:
    assert [f for f in findings().values() if f.level != "ok" or f.remedy] == []


@pytest.mark.parametrize(
    ("check", "changes", "remedy"),
    [
        ("host", {"architecture": "aarch64"}, "x86-64"),
        ("python", {"python": (3, 10)}, "3.11"),
        ("disk", {"disk_free": 6 * GIB - 1}, "6 GiB"),
        ("memory", {"memory_available": GIB}, "4 GiB"),
        ("vagrant", {"vagrant": None}, "vagrant-libvirt"),
        ("vagrant", {"vagrant": "2.2.19"}, ">= 2.3"),
        ("provider", {"libvirt_plugin": None}, "vagrant-libvirt"),
        ("libvirt", {"libvirt": None, "private_libvirt": False}, "private-libvirt"),
        ("qemu", {"qemu": None}, "qemu-system-x86"),
        ("box", {"boxes": frozenset()}, "vagrant box add"),
        ("box", {"box": "debian/bookworm64"}, f"FQDNLAB_BOX={BOX_NAME}"),
        ("Vagrantfile", {"site": None, "payload": False}, "FQDNLAB_VAGRANT_DIR"),
    ],
)
def test_what_machines_cannot_run_without_fails_with_a_remedy(
    check: str, changes: dict[str, Any], remedy: str
) -> None:
    finding = findings(**changes)[check]
    assert finding.level == "fail"
    assert remedy in finding.remedy
    assert failed([finding])


@pytest.mark.parametrize(
    ("check", "changes", "remedy"),
    [
        ("host", {"system": "Darwin"}, "Linux"),
        ("memory", {"memory_available": 3 * GIB}, "FQDNLAB_MEMORY"),
        ("memory", {"memory_available": None}, "4 GiB"),
        ("CPU virtualisation", {"kvm": "absent"}, "firmware"),
        ("CPU virtualisation", {"kvm": "refused"}, "adduser"),
        ("CPU virtualisation", {"kvm": "broken"}, "FQDNLAB_EMULATE=1"),
        ("CPU virtualisation", {"nested": True}, "FQDNLAB_EMULATE=1"),
        ("CPU virtualisation", {"emulate": True}, "unset FQDNLAB_EMULATE"),
        ("libvirt", {"libvirt": None}, "private-libvirt start"),
        ("payload", {"payload": False}, "fqdnlab vagrant payload"),
    ],
)
def test_what_makes_it_slow_or_asks_for_a_hand_is_a_warning(
    check: str, changes: dict[str, Any], remedy: str
) -> None:
    finding = findings(**changes)[check]
    assert finding.level == "warn"
    assert remedy in finding.remedy
    assert not failed([finding])


@pytest.mark.parametrize("changes", [{"kvm": "absent"}, {"emulate": True}])
def test_without_kvm_it_says_how_slow_it_is(changes: dict[str, Any]) -> None:
    assert "ten times slower" in findings(**changes)["CPU virtualisation"].found


def test_with_virtualbox_alone_libvirt_is_not_asked_for() -> None:
    told = findings(libvirt_plugin=None, virtualbox="7.0.20", libvirt=None, qemu=None)
    assert "VirtualBox 7.0.20" in told["provider"].found
    assert not {"libvirt", "qemu"} & set(told)
    assert not failed(list(told.values()))


@given(st.text(max_size=20))
def test_no_version_breaks_it(version: str) -> None:
    assert findings(vagrant=version)["vagrant"].check == "vagrant"


def test_boxes_are_those_that_are_whole(tmp_path: Path) -> None:
    for name, file in (("debian-VAGRANTSLASH-bookworm64", "metadata.json"), ("half", "box.img")):
        folder = tmp_path / "boxes" / name / "0" / "libvirt"
        folder.mkdir(parents=True)
        (folder / file).touch()
    assert doctor_workshop._boxes(tmp_path) == {"debian/bookworm64"}


def test_a_program_that_never_answers_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("vagrant", "virsh", "VBoxManage"):
        (tmp_path / name).write_text("#!/bin/sh\nexec sleep 60\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(doctor_workshop, "_ASK_SECONDS", 0.3)
    begin = time.monotonic()
    facts = doctor_workshop.gather_workshop()
    assert time.monotonic() - begin < 5.0
    assert (facts.vagrant, facts.libvirt_plugin, facts.virtualbox, facts.libvirt) == (None,) * 4


def test_this_machine_is_told_in_json_within_ten_seconds() -> None:
    took = []
    for _ in range(2):  # something else may be busy
        begin = time.monotonic()
        result = CliRunner().invoke(doctor, ["--workshop", "--json"])
        took.append(time.monotonic() - begin)
    assert min(took) < 10.0, took
    told = [Finding(**f) for f in json.loads(result.stdout)]
    assert result.exit_code == int(failed(told))
    assert {"disk", "memory", "vagrant", "provider", "box"} <= {f.check for f in told}
    assert all(f.remedy for f in told if f.level != "ok")
