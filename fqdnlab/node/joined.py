"""A whole machine as an endpoint of a lab: its link, its routes, its files; made and undone.

Nothing that is the machine's own is changed.  Its default routes stay, and two halves by the lab's
link are nearer; files in /etc stay, and the lab's are mounted over them.  So `leave` gives back
what was, to the octet, and so does a start of the machine.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from fqdnlab.errors import SetupError
from fqdnlab.model.place import Place
from fqdnlab.node import netlink
from fqdnlab.node.addresses import RESOLVER4, endpoint_addresses, vxlan_id
from fqdnlab.node.kernel import MNT_DETACH, MS_BIND, mount, umount
from fqdnlab.node.sysctls import quiet
from fqdnlab.paths import LabPaths

__all__ = ["is_joined", "join", "leave"]

_RESOLV, _NSSWITCH = "/etc/resolv.conf", "/etc/nsswitch.conf"
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_HOSTS_LINE = re.compile(r"^hosts:.*$", re.MULTILINE)


def join(paths: LabPaths, place: Place, number: int) -> None:
    """Make this machine the endpoint `number` of the node that is its peer.

    Called in the machine's own namespaces, with the world's CA handed over.

    Raises
    ------
    SetupError
        If the machine is not as `place` says, or has no /etc/resolv.conf.
    OSError
        If the kernel refuses.
    """
    leave(paths)  # what a killed attempt left
    addresses = endpoint_addresses(number, place.index)
    below = netlink.underlay(place.device, place.address)
    _folder(paths).mkdir(mode=0o755)
    try:
        end = netlink.End("", netlink.MACHINE_LINK, addresses.mac)
        netlink.make_vxlan(end, vxlan_id(paths.lab, place.address), below, place.peer)
        quiet(netlink.MACHINE_LINK)
        for target, text in _texts(paths).items():
            _lay(_folder(paths), target, text)
        netlink.set_up_machine(addresses)
    except BaseException:
        leave(paths)
        raise


def leave(paths: LabPaths) -> None:
    """Undo what `join` did for that lab, whatever of it is there.  Idempotent."""
    if not _folder(paths).is_dir():
        return
    netlink.drop_link(netlink.MACHINE_LINK)
    while laid := _laid(paths):
        for target in laid:
            umount(target, MNT_DETACH)
    shutil.rmtree(_folder(paths))


def is_joined(paths: LabPaths) -> bool:
    """Whether this machine has the link of that lab, and its files."""
    here = netlink.link_index(netlink.MACHINE_LINK) != 0
    return here and os.path.realpath(_RESOLV) in _laid(paths)


def _folder(paths: LabPaths) -> Path:
    """Of the files; there from before the first thing is made until after the last is undone."""
    return paths.root / "joined"


def _texts(paths: LabPaths) -> dict[str, str]:
    """Path → what is to be seen there: the lab's resolver and no other way to names, its CA too."""
    if not Path(_RESOLV).exists():
        raise SetupError(f"there is no {_RESOLV} on this machine", "make an empty one")
    texts = {_RESOLV: f"nameserver {RESOLVER4}\n"}
    if Path(_NSSWITCH).exists():
        text = Path(_NSSWITCH).read_text("utf-8", "surrogateescape")
        texts[_NSSWITCH] = _HOSTS_LINE.sub("hosts: files dns", text)
    if Path(_BUNDLE).exists() and paths.ca.exists():
        texts[_BUNDLE] = f"{Path(_BUNDLE).read_text('ascii')}{paths.ca.read_text('ascii')}"
    return texts


def _lay(folder: Path, target: str, text: str) -> None:
    file = folder / Path(target).name
    file.write_text(text, "utf-8", "surrogateescape")
    file.chmod(0o644)
    mount(str(file), os.path.realpath(target), flags=MS_BIND)


def _laid(paths: LabPaths) -> list[str]:
    """Where files of that lab are laid over, by what the kernel says: links may change."""
    found: list[str] = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        root, target = line.split()[3:5]
        # the path within the file system that is mounted at /run, or at a parent of it
        if str(Path(root).parent).endswith(f"/.lab/{paths.lab}/{_folder(paths).name}"):
            found.append(target)
    return found
