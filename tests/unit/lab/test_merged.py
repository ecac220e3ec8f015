"""Several nodes' tables, streams and times as one."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from fqdnlab.errors import StateError
from fqdnlab.lab.merged import followed, sorted_flows, together
from fqdnlab.lab.times import earlier, flow_earlier, request_later
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import flow_pb2
from fqdnlab.pb.observer_pb2 import GetFlowsRequest, GetFlowsResponse


def frame(*times: int, **attrs: object) -> pd.DataFrame:
    made = pd.DataFrame({"time": list(times), "x": [f"x{t}" for t in times]})
    made.attrs.update(attrs)
    return made


def test_one_nodes_table_stays_as_it_is() -> None:
    only = frame(2, 1, note="n")
    assert together({"node": only}) is only


def test_several_have_a_last_column_node_and_one_order() -> None:
    whole = together({"a": frame(1, 3), "b": frame(2), "c": frame()}, by="time")
    assert list(whole.columns) == ["time", "x", "node"]
    assert list(whole["node"]) == ["a", "b", "a"]
    empty = together({"a": frame(), "b": frame()}, by="time")
    assert (len(empty), list(empty.columns)) == (0, ["time", "x", "node"])


def test_what_a_table_says_beside_itself_is_told_by_node() -> None:
    one = frame(1, units={"x": "m"}, silent=["agent"], note="dead")
    other = frame(2, units={"y": "s"}, silent=["proxy"])
    assert together({"a": one, "b": other}).attrs == {
        "units": {"x": "m", "y": "s"},
        "silent": ["a: agent", "b: proxy"],
        "note": "a: dead",
    }


def response(seconds: int) -> GetFlowsResponse:
    moment = Timestamp(seconds=seconds, nanos=5)
    return GetFlowsResponse(flow=flow_pb2.Flow(time=moment), time=moment)


def seconds(responses: Iterator[GetFlowsResponse] | list[GetFlowsResponse]) -> list[int]:
    return [r.time.seconds for r in responses]


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        (GetFlowsRequest(), [1, 2, 3, 4]),
        (GetFlowsRequest(number=2), [3, 4]),
        (GetFlowsRequest(number=2, first=True), [1, 2]),
    ],
)
def test_flows_of_several_in_order_of_time(request_: GetFlowsRequest, wanted: list[int]) -> None:
    streams = [iter([response(1), response(4)]), iter([response(2), response(3)])]
    assert seconds(sorted_flows(streams, request_)) == wanted


def test_flows_of_several_as_they_come() -> None:
    both = followed([lambda: iter([response(1)]), lambda: iter([response(2), response(3)])])
    assert sorted(seconds(both)) == [1, 2, 3]


def test_the_first_that_fails_ends_it() -> None:
    def fails() -> Iterator[GetFlowsResponse]:
        yield response(1)
        raise StateError("gone")

    with pytest.raises(StateError, match="gone"):
        list(followed([fails, lambda: iter([])]))


def test_times_that_are_set_are_earlier_and_others_stay() -> None:
    status = pb.NodeStatus(started=0.0)
    status.process.add(name="agent", since=1000.5)
    status.process.add(name="proxy")
    earlier(status, 100.0)
    assert (status.started, [p.since for p in status.process]) == (0.0, [900.5, 0.0])
    evidence = pb.EvidenceReply(time=1000.0)
    evidence.kept.add(lookup_time=1000.0)
    earlier(evidence, -100.0)
    kept = evidence.kept[0]
    assert (evidence.time, kept.lookup_time, kept.expiration_time) == (1100.0, 1100.0, 0.0)
    maps = pb.ListMapsReply()
    assert earlier(maps, 100.0) is maps, "what tells no time"


def test_flows_are_earlier_to_the_nanosecond_and_requests_later() -> None:
    one = GetFlowsResponse(
        flow=flow_pb2.Flow(time=Timestamp(seconds=1_795_000_000, nanos=123_456_789)),
        time=Timestamp(seconds=1_795_000_000, nanos=123_456_789),
    )
    flow_earlier(one, 0.25)
    for moment in (one.time, one.flow.time):
        assert (moment.seconds, moment.nanos) == (1_794_999_999, 873_456_789)
    lost = GetFlowsResponse(lost_events=flow_pb2.LostEvent(last=Timestamp(seconds=10)))
    flow_earlier(lost, 2.0)
    assert (lost.lost_events.last.seconds, lost.lost_events.HasField("first")) == (8, False)
    request = GetFlowsRequest(since=Timestamp(seconds=5), number=3)
    later = request_later(request, 2.5)
    assert (later.since.seconds, later.since.nanos, later.number) == (7, 500_000_000, 3)
    assert not later.HasField("until")
    assert request.since.seconds == 5
