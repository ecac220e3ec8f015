"""Build hook of the wheel: what is made from proto/ and bpf/ must be in it, and current.

In a source tree, `make proto bpf` makes it (quick where nothing changed).  An editable install
needs nothing of this: there, make itself runs after the install.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class MadeFiles(BuildHookInterface):
    """Makes the gRPC code and the BPF objects, or says clearly why it cannot."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run make; raise RuntimeError if afterwards a file is missing or make failed."""
        if version == "editable":
            return
        root = Path(self.root)
        missing = _missing(root)
        make = shutil.which("make")
        if make is None:
            if missing:
                raise RuntimeError(
                    f"the wheel needs {missing[0]} and `make` is not here to make it; "
                    "on Debian: apt-get install make clang libbpf-dev bpftool"
                )
            return
        command = [make, "proto", "bpf", f"PROTO_PYTHON={sys.executable}"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        missing = _missing(root)
        if done.returncode or missing:
            raise RuntimeError(
                f"`make proto bpf` failed (BPF needs clang, libbpf-dev, bpftool and a kernel with "
                f"BTF); missing: {', '.join(missing) or 'nothing'}\n{done.stdout}{done.stderr}"
            )


def _missing(root: Path) -> list[str]:
    """Paths of files that the wheel must carry and that are not there."""
    protos = (root / "proto/fqdnlab/pb").glob("*.proto")
    wanted = [f"fqdnlab/pb/{p.stem}_pb2.py" for p in protos]
    programs = (root / "bpf").glob("*.bpf.c")
    wanted += [f"fqdnlab/datapath/objects/{p.stem}.o" for p in programs]
    return [path for path in wanted if not (root / path).exists()]
