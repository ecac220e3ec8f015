"""What a machine needs to run labs in virtual machines, offline: facts read, and judged apart.

Everything is asked for at once, each with a time limit, so that it takes seconds.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fqdnlab.doctor_checks import MIB, Finding, memory_available
from fqdnlab.vagrant.box import BOX_NAME
from fqdnlab.vagrant.programs import run
from fqdnlab.vagrant.site import repository

__all__ = ["PUBLIC_BOX", "WorkshopFacts", "diagnose_workshop", "gather_workshop"]

GIB = 1024 * MIB
#: The Vagrantfile's own.
PUBLIC_BOX = "debian/bookworm64"
_MIN_DISK = 6 * GIB
_MIN_MEMORY = 4 * GIB
_HARDLY_MEMORY = 2 * GIB  # two machines of 768 MB, emulated, take 1.5 GB each
_MIN_VAGRANT = (2, 3)
_ASK_SECONDS = 7.0
_KVM_GET_API_VERSION = 0xAE00  # include/uapi/linux/kvm.h; the answer is 12 since Linux 2.6.22
_README = "vagrant/README.md"

Kvm = Literal["usable", "absent", "refused", "broken"]


@dataclass(frozen=True)
class WorkshopFacts:
    """What was read from the machine; None: it is not there, or did not answer."""

    system: str
    release: str
    architecture: str
    python: tuple[int, int]
    disk_free: int
    disk_place: str
    memory_available: int | None
    kvm: Kvm
    nested: bool
    emulate: bool
    vagrant: str | None
    libvirt_plugin: str | None
    virtualbox: str | None
    libvirt: str | None
    private_libvirt: bool
    prefix: str
    qemu: str | None
    box: str
    boxes: frozenset[str]
    site: str | None
    payload: bool


def diagnose_workshop(facts: WorkshopFacts) -> list[Finding]:
    """Judge `facts`: a finding for each check."""
    findings = [_host(facts), _python(facts), _disk(facts), _memory(facts), _virtualisation(facts)]
    findings += [_vagrant(facts), _provider(facts)]
    if facts.virtualbox is None or facts.libvirt_plugin is not None:
        findings += [_libvirt(facts), _qemu(facts)]
    return [*findings, _box(facts), _payload(facts)]


# --- Judging --------------------------------------------------------------------------------------


def _host(facts: WorkshopFacts) -> Finding:
    found = f"{facts.system} {facts.release}, {facts.architecture}"
    if facts.architecture not in ("x86_64", "AMD64"):
        return Finding(
            "host", "fail", found, "use an x86-64 machine: the box and wheels are for it"
        )
    if facts.system != "Linux":
        return Finding("host", "warn", found, "untried: use a Linux host where there is one")
    return Finding("host", "ok", found)


def _python(facts: WorkshopFacts) -> Finding:
    found = ".".join(map(str, facts.python))
    if facts.python >= (3, 11):
        return Finding("python", "ok", found)
    return Finding("python", "fail", found, "use Python >= 3.11 (Debian 12 has it)")


def _disk(facts: WorkshopFacts) -> Finding:
    found = f"{facts.disk_free / GIB:.1f} GiB free in {facts.disk_place}"
    if facts.disk_free >= _MIN_DISK:
        return Finding("disk", "ok", found)
    return Finding("disk", "fail", found, f"free {_MIN_DISK // GIB} GiB: box, disks and snapshots")


def _memory(facts: WorkshopFacts) -> Finding:
    if facts.memory_available is None:
        return Finding(
            "memory", "warn", "cannot be told", f"see that {_MIN_MEMORY // GIB} GiB are free"
        )
    found = f"{facts.memory_available / GIB:.1f} GiB available"
    if facts.memory_available >= _MIN_MEMORY:
        return Finding("memory", "ok", found)
    if facts.memory_available >= _HARDLY_MEMORY:
        remedy = "close what is not needed, or export FQDNLAB_MEMORY=512 (MB a machine)"
        return Finding("memory", "warn", found, remedy)
    return Finding("memory", "fail", found, f"two machines need {_MIN_MEMORY // GIB} GiB with ease")


def _virtualisation(facts: WorkshopFacts) -> Finding:
    slow = "emulation: ten times slower"
    check = "CPU virtualisation"
    if facts.emulate:
        found = f"{slow}, as FQDNLAB_EMULATE=1 wants"
        return Finding(check, "warn", found, "unset FQDNLAB_EMULATE, unless KVM fails here")
    if facts.system != "Linux":
        return Finding(check, "ok", "the provider's own")
    remedies = {
        "absent": "switch on VT-x or AMD-V in the firmware, then modprobe kvm_intel or kvm_amd",
        "refused": "run as root, or: sudo adduser $USER kvm, and log in anew",
        "broken": "/dev/kvm is there and does not answer; export FQDNLAB_EMULATE=1",
    }
    if facts.kvm == "usable" and facts.nested:
        remedy = "if the machines do not boot: export FQDNLAB_EMULATE=1 FQDNLAB_PATIENCE=4"
        return Finding(check, "warn", "KVM, in a virtual machine", remedy)
    if facts.kvm == "usable":
        return Finding(check, "ok", "KVM")
    remedy = f"{remedies[facts.kvm]}; else export FQDNLAB_PATIENCE=4"
    return Finding(check, "warn", f"/dev/kvm is {facts.kvm}; {slow}", remedy)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", text)[:2])


def _vagrant(facts: WorkshopFacts) -> Finding:
    if facts.vagrant is None:
        remedy = (
            "sudo apt-get install vagrant vagrant-libvirt; in a bundle: ./lab install --offline"
        )
        return Finding("vagrant", "fail", "not found, or it does not answer", remedy)
    if _version(facts.vagrant) < _MIN_VAGRANT:
        return Finding("vagrant", "fail", facts.vagrant, "use Vagrant >= 2.3")
    return Finding("vagrant", "ok", facts.vagrant)


def _provider(facts: WorkshopFacts) -> Finding:
    if facts.libvirt_plugin is not None:
        return Finding("provider", "ok", f"libvirt (vagrant-libvirt {facts.libvirt_plugin})")
    if facts.virtualbox is not None:
        return Finding("provider", "ok", f"VirtualBox {facts.virtualbox} (untried)")
    remedy = "sudo apt-get install vagrant-libvirt (or VirtualBox, with a public box)"
    return Finding("provider", "fail", "neither vagrant-libvirt nor VirtualBox", remedy)


def _libvirt(facts: WorkshopFacts) -> Finding:
    if facts.libvirt is not None:
        where = f" through {facts.prefix}" if facts.prefix else ""
        return Finding("libvirt", "ok", f"{facts.libvirt}{where}")
    if facts.private_libvirt:
        remedy = "as root: vagrant/private-libvirt start /var/lib/fqdnlab-vms; export "
        remedy += 'FQDNLAB_VAGRANT_PREFIX="$PWD/vagrant/private-libvirt run /var/lib/fqdnlab-vms"'
        return Finding("libvirt", "warn", "none answers; one of your own can be started", remedy)
    remedy = (
        "start libvirtd (Debian: libvirt-daemon-system), and be in its group libvirt; or as root "
    )
    return Finding("libvirt", "fail", "none answers", remedy + "vagrant/private-libvirt")


def _qemu(facts: WorkshopFacts) -> Finding:
    if facts.qemu is not None:
        return Finding("qemu", "ok", facts.qemu)
    return Finding("qemu", "fail", "not found", "sudo apt-get install qemu-system-x86 qemu-utils")


def _box(facts: WorkshopFacts) -> Finding:
    if facts.box in facts.boxes:
        return Finding("box", "ok", facts.box)
    found = f"{facts.box} is not here"
    if BOX_NAME in facts.boxes:
        return Finding("box", "fail", f"{found}; {BOX_NAME} is", f"export FQDNLAB_BOX={BOX_NAME}")
    remedy = f"vagrant box add --name {BOX_NAME} FILE (the bundle's box/, or `sudo make box`), "
    remedy += f"then export FQDNLAB_BOX={BOX_NAME}; or with a network: vagrant box add {PUBLIC_BOX}"
    return Finding("box", "fail", found, remedy)


def _payload(facts: WorkshopFacts) -> Finding:
    if facts.site is None:
        remedy = f"cd into a clone or a bundle's fqdnlab/, or export FQDNLAB_VAGRANT_DIR; {_README}"
        return Finding("Vagrantfile", "fail", "not found", remedy)
    if facts.payload:
        return Finding("payload", "ok", "ready to be put on the machines")
    remedy = "fqdnlab vagrant payload (it needs a network, or PIP_FIND_LINKS)"
    return Finding("payload", "warn", "not made yet: the first `up` makes it", remedy)


# --- Reading --------------------------------------------------------------------------------------


def gather_workshop() -> WorkshopFacts:
    """Read the facts of this machine, in some seconds; changes nothing."""
    site = _site()
    prefix = shlex.split(os.environ.get("FQDNLAB_VAGRANT_PREFIX", ""))
    questions: dict[str, Callable[[], str | None]] = {
        "vagrant": lambda: _ask(r"Vagrant (\S+)", "vagrant", "--version"),
        "plugin": lambda: _ask(r"vagrant-libvirt \(([^,)]+)", "vagrant", "plugin", "list"),
        "virtualbox": lambda: _ask(r"^(\d\S+)", "VBoxManage", "--version"),
        "libvirt": lambda: _ask(
            r"Using library: (libvirt \S+)", *prefix, "virsh", "-c", "qemu:///system", "version"
        ),
        "qemu": lambda: _ask(r"version (\S+)", "qemu-system-x86_64", "--version"),
    }
    with ThreadPoolExecutor(len(questions)) as pool:
        asked = {name: pool.submit(question) for name, question in questions.items()}
        told = {name: future.result() for name, future in asked.items()}
    free, place = _disk_free()
    return WorkshopFacts(
        system=platform.system(),
        release=platform.release(),
        architecture=platform.machine(),
        python=sys.version_info[:2],
        disk_free=free,
        disk_place=place,
        memory_available=memory_available() or None,
        kvm=_kvm(),
        nested=bool(re.search(r"^flags\b.*\bhypervisor\b", _cpuinfo(), re.MULTILINE)),
        emulate=os.environ.get("FQDNLAB_EMULATE") == "1",
        vagrant=told["vagrant"],
        libvirt_plugin=told["plugin"],
        virtualbox=told["virtualbox"],
        libvirt=told["libvirt"],
        private_libvirt=_private_libvirt(),
        prefix=" ".join(prefix),
        qemu=told["qemu"],
        box=os.environ.get("FQDNLAB_BOX", PUBLIC_BOX),
        boxes=_boxes(_vagrant_home()),
        site=str(site) if site else None,
        payload=site is not None and (site / "build" / "payload.tar.gz").exists(),
    )


def _path() -> str:
    return os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"


def _ask(pattern: str, *command: str) -> str | None:
    """What `pattern` finds in the output of `command`; None: no such program, no such answer."""
    program = shutil.which(command[0], path=_path())
    if program is None:
        return None
    env = {**os.environ, "VAGRANT_CHECKPOINT_DISABLE": "1", "LC_ALL": "C"}
    try:
        ended = run([program, *command[1:]], _ASK_SECONDS, env=env)
    except OSError:
        return None
    found = re.search(pattern, ended.output, re.MULTILINE)
    return found[1] if found and ended.status == 0 else None


def _site() -> Path | None:
    """The folder of the Vagrantfile, as `Site.from_environment` finds it."""
    given, clone = os.environ.get("FQDNLAB_VAGRANT_DIR", ""), repository()
    folder = Path(given) if given else (clone / "vagrant" if clone else Path("vagrant"))
    return folder if (folder / "Vagrantfile").is_file() else None


def _vagrant_home() -> Path:
    return Path(os.environ.get("VAGRANT_HOME") or Path.home() / ".vagrant.d")


def _boxes(home: Path) -> frozenset[str]:
    """Names of the boxes that Vagrant has: folders with a metadata.json somewhere below."""
    return frozenset(
        folder.name.replace("-VAGRANTSLASH-", "/")
        for folder in (home / "boxes").glob("*")
        if next(folder.rglob("metadata.json"), None) is not None
    )


def _disk_free() -> tuple[int, str]:
    """Of the places where boxes and disks go, the fullest."""
    places = {str(_vagrant_home().parent), "/var/lib" if os.path.isdir("/var/lib") else "."}
    return min((shutil.disk_usage(p).free, p) for p in places if os.path.isdir(p))


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def _kvm() -> Kvm:
    try:
        import fcntl

        descriptor = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, ImportError):
        return "absent"
    except PermissionError:
        return "refused"
    except OSError:
        return "broken"
    try:
        return "usable" if fcntl.ioctl(descriptor, _KVM_GET_API_VERSION) == 12 else "broken"
    except OSError:
        return "broken"
    finally:
        os.close(descriptor)


def _private_libvirt() -> bool:
    """Whether vagrant/private-libvirt can do its work here."""
    needed = ("libvirtd", "qemu-system-x86_64", "ip", "nsenter")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return root and all(shutil.which(tool, path=_path()) for tool in needed)
