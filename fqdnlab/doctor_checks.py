"""What a machine needs for fqdnlab: facts read in one place, judged by pure functions.

Imports the standard library alone, so that ``./lab doctor`` runs it before anything is installed
(``python3 -P fqdnlab/doctor_checks.py [--json]``).
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Facts", "Finding", "diagnose", "failed", "gather", "memory_available"]

Level = Literal["ok", "warn", "fail"]
MIB = 1 << 20

_MIN_KERNEL = (6, 1)  # bpf_loop, ring buffer and sk_assign as we use them are tested from here on
_TCX_KERNEL = (6, 6)
_MIN_MEMORY = 512 * MIB
_MIN_DISK = 1024 * MIB
_MIN_RUN = 32 * MIB
#: Capability numbers (include/uapi/linux/capability.h) that the root service uses.
_CAPABILITIES = {
    "CHOWN": 0, "KILL": 5, "SETGID": 6, "SETUID": 7, "NET_BIND_SERVICE": 10, "NET_ADMIN": 12,
    "NET_RAW": 13, "SYS_ADMIN": 21,
}  # fmt: skip
#: Program → (Debian package, what it is for).
_TOOLS = {
    "ip": ("iproute2", "looking into namespaces, and tests"),
    "tc": ("iproute2", "looking at attached programs"),
    "curl": ("curl", "the demo's client"),
    "dig": ("bind9-dnsutils", "the demo's client"),
    "bpftool": ("bpftool", "building from source, and looking at maps"),
    "clang": ("clang", "building from source"),
}


@dataclass(frozen=True)
class Finding:
    """One check's result.

    Attributes
    ----------
    check : str
        What was checked.
    level : {"ok", "warn", "fail"}
        ``fail``: no lab can run here; ``warn``: something will be less or missing.
    found : str
        What is there.
    remedy : str
        What to do; empty where nothing need be done.
    """

    check: str
    level: Level
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Facts:
    """What was read from the machine; None where it could not be told."""

    system: str
    release: str
    python: tuple[int, int]
    btf: bool
    filesystems: frozenset[str]
    uid: int
    capabilities: int
    own_mount_namespace: bool | None
    max_net_namespaces: int
    libbpf: str | None
    tools: frozenset[str]
    memory_available: int
    disk_free: int
    run_free: int
    ipv6: bool
    bpf_jit: int | None
    service: bool


def gather() -> Facts:
    """Read the facts of this machine; changes nothing."""
    system = os.uname()
    return Facts(
        system=system.sysname,
        release=system.release,
        python=sys.version_info[:2],
        btf=os.access("/sys/kernel/btf/vmlinux", os.R_OK),
        filesystems=frozenset(_text("/proc/filesystems").split()),
        uid=os.geteuid(),
        capabilities=int(_status("CapEff") or "0", 16),
        own_mount_namespace=_same_namespace(),
        max_net_namespaces=int(_text("/proc/sys/user/max_net_namespaces") or "0"),
        libbpf=_libbpf(),
        tools=frozenset(t for t in _TOOLS if shutil.which(t, path=_path())),
        memory_available=memory_available(),
        disk_free=shutil.disk_usage(".").free,
        run_free=shutil.disk_usage("/run").free if os.path.isdir("/run") else 0,
        ipv6=os.path.isdir("/proc/sys/net/ipv6"),
        bpf_jit=_number("/proc/sys/net/core/bpf_jit_enable"),
        service=os.path.exists("/run/fqdnlab/machine.sock"),
    )


def diagnose(facts: Facts) -> list[Finding]:
    """Judge `facts`: a finding for each check, in an order that reads well."""
    return [
        _kernel(facts),
        _hook(facts),
        _btf(facts),
        _bpffs(facts),
        _python(facts),
        _libbpf_version(facts),
        _privilege(facts),
        _mount_namespace(facts),
        _namespaces(facts),
        _ipv6(facts),
        _jit(facts),
        _memory(facts),
        _disk(facts),
        _service(facts),
        *_tools(facts),
    ]


def failed(findings: Sequence[Finding]) -> bool:
    """Whether any finding says that no lab can run here."""
    return any(f.level == "fail" for f in findings)


# --- Judging --------------------------------------------------------------------------------------


def _version(release: str) -> tuple[int, int]:
    numbers = release.replace("-", ".").split(".")
    try:
        return int(numbers[0]), int(numbers[1])
    except (ValueError, IndexError):
        return 0, 0


def _kernel(facts: Facts) -> Finding:
    found = f"{facts.system} {facts.release}"
    if facts.system != "Linux":
        return Finding(
            "kernel", "fail", found, "run labs on Linux, in a virtual machine if need be"
        )
    if _version(facts.release) < _MIN_KERNEL:
        return Finding("kernel", "fail", found, "use a kernel >= 6.1 (Debian 12 has it)")
    return Finding("kernel", "ok", found)


def _hook(facts: Facts) -> Finding:
    # Not less, but other: clsact does the same, held by the qdisc in place of a pinned link.
    if _version(facts.release) >= _TCX_KERNEL:
        return Finding("attachment", "ok", "tcx")
    return Finding("attachment", "ok", "clsact (tcx is not on this kernel: it came with 6.6)")


def _btf(facts: Facts) -> Finding:
    if facts.btf:
        return Finding("kernel types (BTF)", "ok", "/sys/kernel/btf/vmlinux")
    remedy = "use a kernel with CONFIG_DEBUG_INFO_BTF=y (those of Debian and Ubuntu have it)"
    return Finding("kernel types (BTF)", "fail", "no readable /sys/kernel/btf/vmlinux", remedy)


def _bpffs(facts: Facts) -> Finding:
    if "bpf" in facts.filesystems:
        return Finding("bpffs", "ok", "known to the kernel; each lab mounts its own")
    return Finding(
        "bpffs", "fail", "unknown to the kernel", "use a kernel with CONFIG_BPF_SYSCALL=y"
    )


def _python(facts: Facts) -> Finding:
    found = ".".join(map(str, facts.python))
    if facts.python >= (3, 11):
        return Finding("python", "ok", found)
    return Finding("python", "fail", found, "use Python >= 3.11: apt-get install python3")


def _libbpf_version(facts: Facts) -> Finding:
    if facts.libbpf is None:
        return Finding("libbpf.so.1", "fail", "not found", "sudo apt-get install libbpf1")
    return Finding("libbpf.so.1", "ok", facts.libbpf)


def _privilege(facts: Facts) -> Finding:
    if facts.uid != 0:
        if facts.service:
            return Finding("privilege", "ok", f"uid {facts.uid}; the root service does the rest")
        remedy = "start the root service: sudo fqdnlab serve (./lab demo and ./lab test do it)"
        return Finding("privilege", "warn", f"uid {facts.uid}, and no root service runs", remedy)
    lacking = [n for n, bit in _CAPABILITIES.items() if not facts.capabilities >> bit & 1]
    if lacking:
        remedy = "in a container: --privileged; else use a shell of the machine's own root"
        return Finding("privilege", "fail", f"root without {', '.join(lacking)}", remedy)
    return Finding("privilege", "ok", "root with the capabilities that labs need")


def _mount_namespace(facts: Facts) -> Finding:
    if facts.own_mount_namespace is None:
        return Finding(
            "mount namespace", "ok", "cannot be told by this user; the root service's counts"
        )
    if facts.own_mount_namespace:
        return Finding("mount namespace", "ok", "the machine's own")
    remedy = "start the root service outside of unshare, ip netns exec and PrivateMounts= units"
    found = "a private one: pins in it, and enforcement with them, die with its last process"
    return Finding("mount namespace", "fail", found, remedy)


def _namespaces(facts: Facts) -> Finding:
    found = f"at most {facts.max_net_namespaces} network namespaces"
    if facts.max_net_namespaces >= 16:
        return Finding("network namespaces", "ok", found)
    return Finding("network namespaces", "fail", found, "sysctl user.max_net_namespaces=1024")


def _ipv6(facts: Facts) -> Finding:
    if facts.ipv6:
        return Finding("IPv6", "ok", "in the kernel (inside a lab; the host need not route it)")
    return Finding("IPv6", "fail", "not in this kernel", "boot without ipv6.disable=1")


def _jit(facts: Facts) -> Finding:
    if facts.bpf_jit == 0:
        return Finding(
            "BPF JIT", "warn", "off: verdicts are slow", "sysctl net.core.bpf_jit_enable=1"
        )
    return Finding(
        "BPF JIT", "ok", "unknown (not for this user)" if facts.bpf_jit is None else "on"
    )


def _memory(facts: Facts) -> Finding:
    found = f"{facts.memory_available // MIB} MiB available"
    if facts.memory_available >= _MIN_MEMORY:
        return Finding("memory", "ok", found)
    return Finding("memory", "warn", found, "a lab's processes take about 300 MiB: free some")


def _disk(facts: Facts) -> Finding:
    found = f"{facts.disk_free // MIB} MiB free here, {facts.run_free // MIB} MiB in /run"
    if facts.run_free < _MIN_RUN:
        return Finding(
            "disk", "fail", found, "labs keep their state in /run/fqdnlab: make room there"
        )
    if facts.disk_free < _MIN_DISK:
        return Finding("disk", "warn", found, "the virtual environment takes about 1 GiB")
    return Finding("disk", "ok", found)


def _service(facts: Facts) -> Finding:
    found = "its socket is there" if facts.service else "not started"
    return Finding("root service", "ok", found)


def _tools(facts: Facts) -> Iterator[Finding]:
    for tool, (package, purpose) in _TOOLS.items():
        if tool in facts.tools:
            yield Finding(f"tool {tool}", "ok", "there")
        else:
            remedy = f"sudo apt-get install {package}"
            yield Finding(f"tool {tool}", "warn", f"not found; it is for {purpose}", remedy)


# --- Reading --------------------------------------------------------------------------------------


def _path() -> str:
    return os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin"


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _number(path: str) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _field(text: str, name: str) -> str:
    lines = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for key, _, value in lines if key == name), "")


def _status(name: str) -> str:
    return _field(_text("/proc/self/status"), name)


def memory_available() -> int:
    """Octets that processes may still take; 0: it cannot be told here."""
    value = _field(_text("/proc/meminfo"), "MemAvailable")
    return int(value.split()[0]) * 1024 if value else 0


def _same_namespace() -> bool | None:
    """Whether our mount namespace is that of pid 1; None where we may not ask."""
    try:
        return os.readlink("/proc/self/ns/mnt") == os.readlink("/proc/1/ns/mnt")
    except OSError:
        return None


def _libbpf() -> str | None:
    try:
        library = ctypes.CDLL("libbpf.so.1")
    except OSError:
        return None
    library.libbpf_version_string.restype = ctypes.c_char_p
    version: bytes = library.libbpf_version_string()
    return version.decode()


def _main(argv: Sequence[str]) -> int:
    findings = diagnose(gather())
    if "--json" in argv:
        print(json.dumps([asdict(f) for f in findings], indent=2))
    else:
        for f in findings:
            remedy = f"  ->  {f.remedy}" if f.remedy else ""
            print(f"{f.level:4}  {f.check}: {f.found}{remedy}")
    return 1 if failed(findings) else 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
