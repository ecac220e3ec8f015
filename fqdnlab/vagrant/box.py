"""The box made from Debian packages: built once for each state of its recipe, kept in the cache."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from fqdnlab.errors import SetupError, UnavailableError
from fqdnlab.patience import patiently
from fqdnlab.vagrant.programs import run
from fqdnlab.vagrant.site import repository

__all__ = ["BOX_NAME", "box_key", "cache", "ensure_box"]

#: By which Vagrant knows it.
BOX_NAME = "fqdnlab/bookworm"
_BUILD_SECONDS = 900.0


def box_key(recipe: Path) -> str:
    """What tells one box from another: a digest of its recipe's files."""
    digest = hashlib.sha256()
    for path in sorted(p for p in recipe.iterdir() if p.is_file()):
        digest.update(f"\0{path.name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache() -> Path:
    """Where boxes are kept from run to run."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fqdnlab"


def ensure_box(say: Callable[[str], None] = lambda _: None) -> Path:
    """The box of this clone's recipe, built if it is not in the cache.

    Raises
    ------
    SetupError
        If this is no clone.
    UnavailableError
        If it cannot be built; it says why.
    """
    clone = repository()
    if clone is None:
        raise SetupError("the box's recipe is in a clone: vagrant/box", "use a bundle's box")
    recipe = clone / "vagrant" / "box"
    box = cache() / f"box-{box_key(recipe)}.box"
    if not box.exists():
        box.parent.mkdir(parents=True, exist_ok=True)
        ended = run([str(recipe / "build"), str(box)], patiently(_BUILD_SECONDS), on_line=say)
        if ended.status != 0 or ended.late:
            raise UnavailableError(f"the box could not be built:\n{ended.output[-1500:]}")
    return box
