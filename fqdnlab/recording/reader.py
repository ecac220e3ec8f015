"""Opening a recording: the same tables, plots and explanations, labelled as recorded."""

from __future__ import annotations

import json
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from google.protobuf import json_format

from fqdnlab.errors import UsageError
from fqdnlab.explain import Explanation, Facts
from fqdnlab.explain.gather import facts_of_lab
from fqdnlab.lab import tables
from fqdnlab.lab.explain import explain_with
from fqdnlab.model.flows import Table
from fqdnlab.model.hubble_json import HubbleJsonError
from fqdnlab.model.settings import LabSettings
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.recording.format import FORMAT, VERSION, Maps, apply_maps, read_lines
from fqdnlab.recording.replay import changes_of, flow_of, samples_of
from fqdnlab.world.client_names import RecordsOf

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["Recording", "open_recording"]

Lines = list[dict[str, Any]]


def open_recording(path: str | Path) -> Recording:
    """Open what `Lab.record` wrote; needs no root, no lab, nothing of Linux.

    One that was cut short opens with a warning, and has what was written.

    Raises
    ------
    UsageError
        If there is no such file, or it is no recording.

    Examples
    --------
    >>> recording = fqdnlab.open_recording("run.fqdnlab")           # doctest: +SKIP
    >>> recording.explain(recording.flows().iloc[-1])               # doctest: +SKIP
    """
    return Recording(Path(path))


class Recording:
    """What happened in a lab, as it was written.

    Attributes
    ----------
    path : Path
    lab : str
        Its name.
    seed : int or None
    settings : LabSettings
    header : dict
        ``versions``, ``kernel``, ``machine``, ``commit`` among others.
    started, ended : float
        Unix seconds.
    cut_short : bool
        Whether its end is missing.
    warnings : list of str
    """

    source = "recorded"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.warnings: list[str] = []
        self._lines: dict[str, Lines] = {}
        self._read()
        self.header = self._header()
        self.lab = str(self.header["lab"])
        self.seed = self.header.get("seed")
        self.settings = LabSettings.from_dict(_known_settings(self.header["settings"]))
        self.started = float(self.header["time"])
        self.cut_short = "end" not in self._lines
        self.ended = max((one["time"] for k in self._lines.values() for one in k), default=0.0)
        for gap in self._lines.get("gap", ()):
            self.warnings.append(f"at {_clock(gap['time'])} nothing could be read: {gap['error']}")
        if self.cut_short:
            note = f"{path} was cut short: what was written until {_clock(self.ended)} is there"
            self.warnings.append(note)
            warnings.warn(note, stacklevel=3)
        self._table = Table()
        self._table.add(self._flow_messages())

    def _read(self) -> None:
        try:
            with self.path.open("rb") as source:
                for found in read_lines(source):
                    if found is not None:
                        self._lines.setdefault(found["kind"], []).append(found)
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror}") from error

    def _header(self) -> dict[str, Any]:
        header = self._lines.get("header", [{}])[0]
        if header.get("format") != FORMAT:
            raise UsageError(f"{self.path} is no recording", "lab.record writes them")
        if header.get("version") != VERSION:
            raise UsageError(
                f"{self.path} is of version {header.get('version')}, known is {VERSION}",
                "open it with a newer fqdnlab",
            )
        return header

    def _flow_messages(self) -> list[Any]:
        found = []
        for one in self._lines.get("flow", ()):
            try:
                found.append(flow_of(one))
            except HubbleJsonError as error:
                self.warnings.append(f"a flow is left out: {error}")
        return found

    # ------------------------------------------------------------ tables

    def flows(self) -> pd.DataFrame:
        """As `Lab.flows`."""
        return self._labelled(tables.flows(self._table.rows()))

    def queries(self) -> pd.DataFrame:
        """As `Lab.queries`."""
        return self._labelled(tables.queries(self._table.queries()))

    def mappings(self, at: float | datetime | None = None) -> pd.DataFrame:
        """As `Lab.mappings`, at a time; none: at the end."""
        facts = self._facts_at(self._moment(at))
        records = []
        for one in self._evidence(self._moment(at)).mapping:
            if facts.maps is not None:
                one.identity = facts.maps.cache(one.ip)[0].identity
            records.append(one)
        return self._labelled(tables.mappings(records))

    def maps(self, at: float | datetime | None = None) -> pd.DataFrame:
        """As `Lab.maps`, at a time; none: at the end."""
        return self._labelled(tables.maps(self._entries(self._moment(at))))

    def faults(self) -> pd.DataFrame:
        """As `Lab.faults`."""
        records = [_parse(one["fault"], pb.FaultRecord()) for one in self._lines.get("fault", ())]
        return self._labelled(tables.faults(records))

    def policies(self, at: float | datetime | None = None) -> pd.DataFrame:
        """As `Lab.policies`, at a time; none: at the end."""
        found = self._last("policies", self._moment(at)) or {"policies": []}
        statuses = [_parse(one, pb.PolicyStatus()) for one in found["policies"]]
        return self._labelled(tables.policies(statuses))

    def metrics(self, at: float | datetime | None = None) -> pd.DataFrame:
        """As `Lab.metrics`: the last ones before a time; none: those of the end."""
        found = self._last("metrics", self._moment(at)) or {"metrics": {}}
        return self._labelled(tables.metrics(_parse(found["metrics"], pb.MetricsReply())))

    def operations(self) -> pd.DataFrame:
        """What the agent did: one row an event of its flight recorder."""
        columns = ["time", "event", "kind", "what", "operations", "count", "fault"]
        rows = [
            {**one["event"], "time": pd.Timestamp(one["time"], unit="s", tz="UTC")}
            for one in self._lines.get("operations", ())
        ]
        frame = pd.DataFrame(rows, columns=columns)
        frame.attrs["units"] = {"time": tables.UNITS["time"], "count": "writes to maps"}
        return self._labelled(frame)

    def time_scale(self, at: float | datetime | None = None) -> float:
        """As `Lab.time_scale`, at a time; none: at the end."""
        state = self._last("state", self._moment(at)) or {}
        rules = json.loads(state.get("evidence", {}).get("rules") or "{}")
        found = rules.get("time") or [self.settings.time_scale]
        return float(found[0])

    def zones(self, at: float | datetime | None = None) -> list[RecordsOf]:
        """The world's records at a time; none: at the end."""
        return self._zones(self._moment(at)) or []

    # ------------------------------------------------------------ explanations, plots

    def explain(
        self,
        what: Any,
        target: str | None = None,
        port: int | None = None,
        protocol: str = "TCP",
        at: float | datetime | None = None,
    ) -> Explanation:
        """As `Lab.explain`.

        Parameters
        ----------
        what, target, port, protocol
            As for a lab.
        at : Unix seconds or datetime, optional
            As it was then; none: for a flow, just after it; for a forecast, at the end.
        """
        rows = self._table.rows()
        moment = self._moment(at)
        if at is None and target is None:
            moment = self._after(what, rows)
        return explain_with(self._facts_at(moment), lambda: rows, what, target, port, protocol)

    def facts(self, at: float | datetime | None = None) -> Facts:
        """What explanations rest on, at a time; none: at the end."""
        return self._facts_at(self._moment(at))

    def timeline(self) -> go.Figure:
        """The timeline from beginning to end (`fqdnlab.plots.timeline`)."""
        from fqdnlab.plots import timeline  # plotly is slow to import

        figure = timeline(
            self.flows(),
            self.queries(),
            self.faults(),
            changes_of(self._lines.get("zones", ())),
            samples_of(self._lines.get("state", ()), self._lines.get("look", ())),
            t0=self.started,
            end=max(self.ended, self.started + 1.0),
        )
        figure.update_layout(title={"text": f"recorded: lab {self.lab}, {_clock(self.started)}"})
        figure.update_layout(margin_t=figure.layout.margin.t + 34)
        return figure

    # ------------------------------------------------------------ a moment

    def _moment(self, at: float | datetime | None) -> float:
        if at is None:
            return self.ended
        return float(at.timestamp()) if isinstance(at, datetime) else float(at)

    def _after(self, what: Any, rows: list[dict[str, Any]]) -> float:
        """The first look after a flow."""
        row: Any = what if isinstance(what, Mapping | pd.Series) else None
        if isinstance(what, str):
            row = next((r for r in rows if r["uuid"] == what), None)
        if row is None or "time" not in row:
            return self.ended  # and what is wrong with it is said there
        looks = [one["time"] for one in self._lines.get("look", ())]
        place = bisect_left(looks, row["time"].timestamp())
        return float(looks[place]) if place < len(looks) else self.ended

    def _last(self, kind: str, moment: float) -> dict[str, Any] | None:
        """The last line of a kind at `moment`; the first there is, if that is later."""
        lines = self._lines.get(kind, [])
        place = bisect_right(lines, moment, key=lambda one: one["time"])
        return lines[max(0, place - 1)] if lines else None

    def _evidence(self, moment: float) -> pb.EvidenceReply:
        state = self._last("state", moment)
        if state is None:
            return pb.EvidenceReply(missing=["the agent's saved state: cut short before it"])
        found: pb.EvidenceReply = _parse(state["evidence"], pb.EvidenceReply())
        return found

    def _entries(self, moment: float) -> list[pb.MapEntry]:
        maps: Maps = {}
        for n, change in enumerate(self._lines.get("maps", ())):
            if change["time"] > moment and n:
                break
            apply_maps(maps, change)
        return [
            pb.MapEntry(map=name, key=key, value=value)
            for name, rows in maps.items()
            for key, value in rows.items()
        ]

    def _zones(self, moment: float) -> list[RecordsOf] | None:
        found = self._last("zones", moment)
        if found is None or found["records"] is None:
            return None
        return [RecordsOf(**{**one, "values": tuple(one["values"])}) for one in found["records"]]

    def _facts_at(self, moment: float) -> Facts:
        state = self._last("state", moment) or {"status": {}, "queries": False}
        evidence = self._evidence(moment)
        evidence.time = moment
        evidence.entry.extend(self._entries(moment))
        queries = [q for q in self._table.queries() if q["time"].timestamp() <= moment]
        known = queries if state["queries"] else queries or None
        status = _parse(state["status"], pb.NodeStatus())
        return facts_of_lab(evidence, status, known, self._zones(moment), "recording")

    def _labelled(self, frame: pd.DataFrame) -> pd.DataFrame:
        frame.attrs["source"] = self.source
        return frame

    def __repr__(self) -> str:
        cut = ", cut short" if self.cut_short else ""
        flows = len(self._lines.get("flow", ()))
        return (
            f"<Recording {self.path}: lab {self.lab}, {_clock(self.started)}, {flows} flows{cut}>"
        )


def _parse(body: Mapping[str, Any], into: Any) -> Any:
    return json_format.ParseDict(dict(body), into, ignore_unknown_fields=True)


def _known_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those that this version has: another may have had more."""
    return {k: v for k, v in given.items() if k in LabSettings.__dataclass_fields__}


def _clock(seconds: float) -> str:
    return pd.Timestamp(seconds, unit="s", tz="UTC").strftime("%Y-%m-%d %H:%M:%S UTC")
