"""What is refused before anything is made: names, owners, settings, places, endpoints.  Pure."""

from __future__ import annotations

from fqdnlab.errors import ConflictError, UsageError
from fqdnlab.machine.peer import Caller
from fqdnlab.model.place import Place, node_name
from fqdnlab.model.settings import LabSettings
from fqdnlab.node.addresses import endpoint_addresses
from fqdnlab.node.state import EndpointRecord, LabState
from fqdnlab.paths import check_lab_name

__all__ = ["check_lab", "check_owner", "check_place", "check_settings", "wanted_endpoint"]


def check_lab(name: str) -> None:
    """See that `name` can name a lab, and that its namespaces cannot be taken for another's.

    Raises
    ------
    UsageError
        If not.
    """
    check_lab_name(name)
    if "-ep-" in f"{name}-":
        raise UsageError(
            f"{name!r} cannot name a lab: '-ep-' tells its endpoints' namespaces from it",
            "choose a name without '-ep'",
        )


def check_owner(caller: Caller, state: LabState) -> None:
    """See that the lab is the caller's, or the caller root; UsageError if not."""
    if caller.uid not in (0, state.uid):
        raise UsageError(f"lab {state.lab!r} belongs to another user", "choose another name")


def check_place(place: Place, state: LabState) -> None:
    """See that the lab was made when this machine was at `place`; ConflictError if not."""
    if state.place != place.to_json():
        raise ConflictError(
            f"lab {state.lab!r} was made when this machine was {state.place}, "
            f"not {place.to_json()}",
            "take it down",
        )


def check_settings(name: str, wanted: LabSettings, state: LabState) -> None:
    """See that the lab lives with these settings; ConflictError, which says them, if not."""
    theirs = LabSettings.from_dict(state.settings)
    different = wanted.differences(theirs)
    if different:
        words = ", ".join(f"{k} is {b!r}, not {a!r}" for k, (a, b) in sorted(different.items()))
        raise ConflictError(
            f"lab {name!r} lives with other settings: {words}",
            "ask for the same settings, take that lab down, or choose another name",
        )


def wanted_endpoint(place: Place, given: object) -> EndpointRecord:
    """The endpoint that a machine at `place` is asked to be, as the node made it.

    Parameters
    ----------
    place : Place
    given : object
        JSON: ``id``, ``name``, ``namespace``, ``labels``, ``ip4``.

    Raises
    ------
    UsageError
        If it is none, or not one of the node that is this machine's peer.
    """
    try:
        if not isinstance(given, dict):
            raise TypeError("no object")
        number, name, ip4 = int(given["id"]), str(given["name"]), str(given["ip4"])
        labels = {str(key): str(value) for key, value in dict(given.get("labels") or {}).items()}
        namespace = str(given.get("namespace") or "default")
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"no endpoint: {type(error).__name__}: {error}") from error
    check_lab_name(name)
    if endpoint_addresses(number, place.index).ip4 != ip4:
        raise UsageError(
            f"endpoint {name!r} with {ip4} is not of {node_name(place.index)}, "
            f"the node at {place.peer} that this machine is joined to",
            f"make it on {node_name(place.index)}",
        )
    return EndpointRecord(number, name, namespace, labels, ifindex=0)
