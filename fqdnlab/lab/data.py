"""The part of `Lab` that measures and records."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pandas as pd

from fqdnlab.errors import StateError
from fqdnlab.lab import tables
from fqdnlab.lab.merged import together

if TYPE_CHECKING:
    from fqdnlab.lab.lab import Lab
    from fqdnlab.lab.node import Node
    from fqdnlab.recording.recorder import Recorder

__all__ = ["Measures"]


class Measures:
    """Metrics and recordings."""

    if TYPE_CHECKING:
        nodes: dict[str, Node]
        recorders: list[Recorder]

        def node(self, name: str | None = None) -> Node: ...

    def metrics(self) -> pd.DataFrame:
        """Every metric of every process that answers, one row a sample.

        Returns
        -------
        DataFrame
            ``process``, ``name``, ``labels`` (dict), ``value``; ``attrs["metrics"]`` has ``help``,
            ``kind`` and ``unit`` of each, ``attrs["silent"]`` the processes that do not answer.
            With several nodes: ``node``, too.
        """
        return together({n: tables.metrics(node.metrics()) for n, node in self.nodes.items()})

    def stop_recorders(self) -> None:
        """Close every recording; one that is cut short is warned of."""
        for recorder in list(self.recorders):
            try:
                recorder.stop()
            except StateError as error:
                warnings.warn(str(error), stacklevel=4)

    def record(
        self,
        path: str | Path,
        *,
        seed: int | None = None,
        interval: float = 0.5,
        node: str | None = None,
    ) -> Recorder:
        """Record what happens, from now until `stop` or the end of the ``with``.

        Parameters
        ----------
        path : path
            A new file, by custom ``NAME.fqdnlab`` (docs/recording.md).
        seed : int, optional
            Of the experiment, to be kept with it.
        interval : float
            Seconds between two looks at maps, policies and mappings; flows are all kept.
        node : str, optional
            Of several nodes, the one to record: a recording is of one node and the world.

        Raises
        ------
        UsageError
            If the file is there already, or cannot be written.

        Examples
        --------
        >>> with lab.record("run.fqdnlab", seed=7):                    # doctest: +SKIP
        ...     web.connect("api.example.com", 443)
        >>> fqdnlab.open_recording("run.fqdnlab").flows()              # doctest: +SKIP
        """
        from fqdnlab.recording.recorder import Recorder  # it imports what this belongs to

        which = self.node(node)
        return Recorder(cast("Lab", self), which, Path(path), seed, interval)
