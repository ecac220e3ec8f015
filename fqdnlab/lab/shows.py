"""`Lab.dashboard` and `Lab.panel`: the lab in a notebook."""

from __future__ import annotations

from importlib import import_module, util
from typing import Any

from fqdnlab.errors import SetupError

__all__ = ["Shows"]

_NEEDED = ("ipywidgets", "anywidget")


class Shows:
    """The part of `Lab` that is seen; made above it, so found by name when it is wanted."""

    def dashboard(self, node: str = "") -> Any:
        """All panels in one cell (`fqdnlab.notebook.Dashboard`).

        Parameters
        ----------
        node : str
            The node that is shown, of a lab with several; empty: the first.

        Raises
        ------
        UsageError
            If the lab has no such node.
        SetupError
            If what notebooks need is not installed.
        """
        return _notebook().Dashboard(self, node)

    def panel(self, name: str, **options: Any) -> Any:
        """One panel: ``says``, ``faults``, ``flows``, ``timeline`` … (`fqdnlab.notebook.panel`).

        Raises
        ------
        SetupError
            If what notebooks need is not installed.
        UsageError
            If there is none of that name; it says which there are.
        """
        return _notebook().panel(self, name, **options)


def _notebook() -> Any:
    missing = [name for name in _NEEDED if util.find_spec(name) is None]
    if missing:
        raise SetupError(f"{', '.join(missing)} missing", "pip install 'fqdnlab[notebook]'")
    return import_module("fqdnlab.notebook")
