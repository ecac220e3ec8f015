"""The last snapshot on disk: what a proxy serves by that starts while no agent is there."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from google.protobuf.message import DecodeError

from fqdnlab.pb import fqdndata_pb2 as pb

__all__ = ["SavedPolicy"]

_log = logging.getLogger(__name__)
_MAGIC = b"fqdnlab-policy-1\n"


class SavedPolicy:
    """One file: a line of version, 32 octets of SHA-256, the snapshot.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "policy.bin"

    def load(self) -> pb.PolicyState | None:
        """The snapshot; None if there is none that can be believed (a broken one is set aside)."""
        try:
            octets = self._path.read_bytes()
        except FileNotFoundError:
            return None
        body = octets[len(_MAGIC) + 32 :]
        whole = octets.startswith(_MAGIC)
        if whole and hashlib.sha256(body).digest() == octets[len(_MAGIC) : len(_MAGIC) + 32]:
            try:
                return pb.PolicyState.FromString(body)
            except DecodeError:
                pass
        aside = self._path.with_suffix(".corrupt")
        self._path.replace(aside)
        _log.warning("%s is corrupt; set aside as %s", self._path, aside)
        return None

    def save(self, snapshot: pb.PolicyState) -> None:
        """Replace the file, atomically."""
        body = snapshot.SerializeToString()
        fresh = self._path.with_name(f".policy.{os.getpid()}")
        fresh.write_bytes(_MAGIC + hashlib.sha256(body).digest() + body)
        fresh.replace(self._path)
