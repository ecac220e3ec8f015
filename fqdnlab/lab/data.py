"""The part of `Lab` that measures and records."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import grpc
import pandas as pd

from fqdnlab.errors import StateError
from fqdnlab.lab import tables
from fqdnlab.pb import control_pb2 as pb

if TYPE_CHECKING:
    from fqdnlab.lab.calls import Peer
    from fqdnlab.lab.lab import Lab
    from fqdnlab.recording.recorder import Recorder

__all__ = ["Measures"]


class Measures:
    """Metrics and recordings."""

    if TYPE_CHECKING:
        node_peer: Peer
        recorders: list[Recorder]
        _observer_peer: Peer
        _node: Any

    def metrics(self) -> pd.DataFrame:
        """Every metric of every process that answers, one row a sample.

        Returns
        -------
        DataFrame
            ``process``, ``name``, ``labels`` (dict), ``value``; ``attrs["metrics"]`` has ``help``,
            ``kind`` and ``unit`` of each, ``attrs["silent"]`` the processes that do not answer.
        """
        return tables.metrics(self.read_metrics())

    def read_metrics(self) -> pb.MetricsReply:
        """What each process says, in Prometheus' text."""
        found: pb.MetricsReply = self.node_peer.call(self._node.Metrics, pb.MetricsRequest())
        return found

    def stop_recorders(self) -> None:
        """Close every recording; one that is cut short is warned of."""
        for recorder in list(self.recorders):
            try:
                recorder.stop()
            except StateError as error:
                warnings.warn(str(error), stacklevel=4)

    def fault_records(self) -> list[pb.FaultRecord]:
        """Every fault that was delivered to a process, oldest first."""
        reply = self.node_peer.call(self._node.ListFaults, pb.ListFaultsRequest())
        return list(reply.fault)

    @property
    def observer_channel(self) -> grpc.Channel:
        """To the observer: for a reader of its own pace."""
        return self._observer_peer.channel

    def record(
        self, path: str | Path, *, seed: int | None = None, interval: float = 0.5
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

        return Recorder(cast("Lab", self), Path(path), seed, interval)
