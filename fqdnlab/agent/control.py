"""The clients' side of the agent: fqdnlab.v1.Agent (way 1 begins and ends here)."""

from __future__ import annotations

import json
import os
from typing import NoReturn

import grpc

from fqdnlab.agent.cluster import Endpoint
from fqdnlab.agent.schedule import boottime, wall_from_boottime
from fqdnlab.agent.service import Applied, Core
from fqdnlab.agent.state import RESTORED
from fqdnlab.datapath import abi
from fqdnlab.datapath.maptext import KEYS, VALUES
from fqdnlab.errors import FqdnlabError, PolicyError, StateError, UsageError
from fqdnlab.model.labtime import check_time_scale
from fqdnlab.model.lint import lint
from fqdnlab.model.policy import FieldStatus, Policy
from fqdnlab.model.policy_parser import parse_policies
from fqdnlab.pb import control_pb2 as pb
from fqdnlab.pb import control_pb2_grpc

__all__ = ["AgentControl", "to_endpoint"]

_ACK_TIMEOUT = 5.0


def to_endpoint(message: pb.Endpoint) -> Endpoint:
    """An endpoint as the node service tells of it."""
    return Endpoint(
        message.id,
        message.name,
        message.namespace or "default",
        tuple(sorted(message.labels.items())),
        message.ifname,
        message.ifindex,
        message.ip4,
        message.ip6,
    )


class AgentControl(control_pb2_grpc.AgentServicer):  # type: ignore[misc]
    """The service.

    Parameters
    ----------
    core : Core
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    # ------------------------------------------------------------ policies

    def ApplyPolicy(  # noqa: N802 - the names are the contract's
        self, request: pb.ApplyPolicyRequest, context: grpc.ServicerContext
    ) -> pb.ApplyPolicyReply:
        """Ways 1.1, 1.2 and 1.9: all documents are valid, or nothing is changed."""
        file = request.file or "<text>"
        try:
            policies = parse_policies(request.yaml, file)
        except PolicyError as error:
            return _rejected(file, error)
        try:
            applied = self._core.apply(policies, request.timeout or _ACK_TIMEOUT)
        except (StateError, OverflowError, OSError) as error:
            remedy = error.remedy if isinstance(error, StateError) else ""
            why = error.message if isinstance(error, StateError) else str(error)
            refused = StateError(f"nothing was changed: {why}", remedy)
            _abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, refused)
        return self._reply(applied, policies)

    def DeletePolicy(  # noqa: N802
        self, request: pb.DeletePolicyRequest, context: grpc.ServicerContext
    ) -> pb.ApplyPolicyReply:
        """Withdraw the policy of that name; kind and namespace may be left out if one has it."""
        with self._core.lock:
            found = [
                p
                for p in self._core.state.policies.values()
                if p.name == request.name
                and request.namespace in ("", p.namespace)
                and request.kind in ("", p.kind)
            ]
        if len(found) != 1:
            names = ", ".join("/".join(p.key) for p in found) or "none"
            status = grpc.StatusCode.NOT_FOUND
            why = UsageError(f"{request.name!r} must name one policy, not: {names}")
            _abort(context, status, why)
        applied = self._core.delete(found[0].key, _ACK_TIMEOUT)
        return self._reply(applied, [])

    def ListPolicies(  # noqa: N802
        self, request: pb.ListPoliciesRequest, context: grpc.ServicerContext
    ) -> pb.ListPoliciesReply:
        """All, enforced or not."""
        with self._core.lock:
            policies = list(self._core.state.policies.values())
            revision = self._core.state.revision
        return pb.ListPoliciesReply(
            policies=[self._status(p, revision) for p in policies], revision=revision
        )

    def _reply(
        self, applied: Applied, policies: list[Policy] | tuple[Policy, ...]
    ) -> pb.ApplyPolicyReply:
        reply = pb.ApplyPolicyReply(accepted=True, revision=applied.revision, late=applied.late)
        reply.policies.extend(self._status(p, applied.revision) for p in policies)
        if not applied.proxy:
            reply.note = "applied; DNS waits: no proxy is connected"
        elif applied.late:
            reply.note = f"applied in the kernel; not acknowledged yet by {', '.join(applied.late)}"
        return reply

    def _status(self, policy: Policy, revision: int) -> pb.PolicyStatus:
        state = self._core.state
        obstacles = policy.obstacles(state.settings.profile)
        with self._core.lock:
            selected = [
                e.name for e in state.endpoints.values() if policy.selects(dict(e.identity.labels))
            ]
        return pb.PolicyStatus(
            kind=policy.kind,
            namespace=policy.namespace,
            name=policy.name,
            file=policy.file,
            revision=revision,
            enforced=not obstacles,
            fields=[_field(f) for f in policy.remarks if f in obstacles or not f.voids],
            lint=[_field(f) for f in lint(policy)],
            endpoints=selected,
            yaml=policy.yaml,
        )

    # ------------------------------------------------------------ time

    def SetTime(self, request: pb.SetTimeRequest, context: grpc.ServicerContext) -> pb.SetTimeReply:  # noqa: N802
        """Lab time goes on at another speed."""
        try:
            scale = check_time_scale(request.time_scale)
            late = self._core.set_time_scale(scale, request.timeout or _ACK_TIMEOUT)
        except ValueError as error:
            _abort(context, grpc.StatusCode.INVALID_ARGUMENT, UsageError(str(error)))
        except StateError as error:
            _abort(context, grpc.StatusCode.FAILED_PRECONDITION, error)
        return pb.SetTimeReply(time_scale=scale, late=late)

    # ------------------------------------------------------------ endpoints

    def SyncEndpoints(  # noqa: N802
        self, request: pb.EndpointList, context: grpc.ServicerContext
    ) -> pb.EndpointList:
        """From the node service: the whole truth; all are enforced when this returns."""
        self._core.sync_endpoints(to_endpoint(e) for e in request.endpoint)
        return pb.EndpointList(endpoint=[self._filled(e) for e in request.endpoint])

    def PutEndpoint(self, request: pb.Endpoint, context: grpc.ServicerContext) -> pb.Endpoint:  # noqa: N802
        """One more; enforced when this returns."""
        self._core.put_endpoint(to_endpoint(request))
        return self._filled(request)

    def RemoveEndpoint(self, request: pb.Endpoint, context: grpc.ServicerContext) -> pb.Endpoint:  # noqa: N802
        """One less."""
        self._core.remove_endpoint(request.id)
        return request

    def _filled(self, message: pb.Endpoint) -> pb.Endpoint:
        state = self._core.state
        filled = pb.Endpoint()
        filled.CopyFrom(message)
        with self._core.lock:
            filled.identity = state.identities.number(to_endpoint(message).identity)
            filled.enforced = state.compiled_for(message.id) is not None
        return filled

    # ------------------------------------------------------------ looking

    def Status(  # noqa: N802
        self, request: pb.AgentStatusRequest, context: grpc.ServicerContext
    ) -> pb.AgentStatus:
        """How it is."""
        core, state = self._core, self._core.state
        with core.lock:
            return pb.AgentStatus(
                pid=os.getpid(),
                policy_revision=state.revision,
                endpoints=len(state.endpoints),
                mappings=len(state.mappings),
                identities=sum(1 for _ in state.identities.items()),
                policy_entries=len(state.content.policy),
                attach=core.kernel.attached,
                proxy_connected=core.publisher.connected,
                proxy_acked_revision=core.publisher.acked,
                lab_time=state.clock.lab(boottime()) / 1e9,
                next_collection=wall_from_boottime(core.schedule.next_pass()),
                warnings=core.warnings,
                zombies=sum(1 for m in state.mappings if m.zombie),
                time_scale=state.clock.scale,
            )

    def ListMappings(  # noqa: N802
        self, request: pb.ListMappingsRequest, context: grpc.ServicerContext
    ) -> pb.ListMappingsReply:
        """Every (endpoint, name, address), with its state and who shares the address."""
        reply = pb.ListMappingsReply()
        now = boottime()
        with self._core.lock:
            state = self._core.state
            for m in state.mappings:
                shared = state.mappings.names(m.address)[1] - {m.name}
                endpoint = state.endpoints.get(m.endpoint)
                kernel = state.content.ipcache.get(m.address)
                identity = abi.IPCACHE_VALUE.unpack(kernel)[0] if kernel else 0
                expired = "expired" if m.expires <= now else "enforced"
                reply.mapping.add(
                    endpoint_id=m.endpoint,
                    endpoint=endpoint.name if endpoint else "",
                    fqdn=m.name.lstrip(RESTORED),
                    ip=abi.ip_text(m.address),
                    ttl=m.ttl,
                    lookup_time=wall_from_boottime(m.learned),
                    expiration_time=wall_from_boottime(m.expires),
                    state="zombie" if m.zombie else expired,
                    source=m.source,
                    identity=identity,
                    shared_with=sorted(n.lstrip(RESTORED) for n in shared),
                )
        return reply

    def ListIdentities(  # noqa: N802
        self, request: pb.ListIdentitiesRequest, context: grpc.ServicerContext
    ) -> pb.ListIdentitiesReply:
        """Every identity, with how many full addresses have it."""
        reply = pb.ListIdentitiesReply()
        with self._core.lock:
            state = self._core.state
            counts: dict[int, int] = {}
            for value in state.content.ipcache.values():
                number = abi.IPCACHE_VALUE.unpack(value)[0]
                counts[number] = counts.get(number, 0) + 1
            for identity, number in state.identities.items():
                labels = identity.label_list()
                reply.identity.add(id=number, labels=labels, addresses=counts.get(number, 0))
        return reply

    def ListMaps(  # noqa: N802
        self, request: pb.ListMapsRequest, context: grpc.ServicerContext
    ) -> pb.ListMapsReply:
        """The kernel's maps as they are now, read from the kernel."""
        reply = pb.ListMapsReply()
        content = self._core.kernel.read()
        wanted = set(request.map)
        for name, rows in (
            ("endpoints", content.endpoint),
            ("ipcache_host", content.ipcache),
            ("ipcache_cidr", content.cidr),
            ("policy", content.policy),
        ):
            if not wanted or name in wanted:
                for key, value in rows.items():
                    reply.entry.add(map=name, key=KEYS[name](key), value=VALUES[name](value))
        return reply

    def Collect(self, request: pb.CollectRequest, context: grpc.ServicerContext) -> pb.CollectReply:  # noqa: N802
        """A collection pass now."""
        done = self._core.collect()
        return pb.CollectReply(expired=done.expired, zombies=done.zombies, removed=done.removed)

    def Dump(self, request: pb.DumpRequest, context: grpc.ServicerContext) -> pb.DumpReply:  # noqa: N802
        """The flight recorder: the last events, oldest first (`fqdnlab.agent.recorder`)."""
        return pb.DumpReply(json=json.dumps(self._core.dump()))


def _field(status: FieldStatus) -> pb.FieldStatus:
    return pb.FieldStatus(
        path=status.path, line=status.line, reason=status.reason, profile=status.profile
    )


def _rejected(file: str, error: PolicyError) -> pb.ApplyPolicyReply:
    reply = pb.ApplyPolicyReply(accepted=False, note=str(error))
    for path, line, message in error.places:
        reply.faults.add(file=file, path=path, line=line, message=message)
    return reply


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, why: FqdnlabError) -> NoReturn:
    """As the node service tells its errors: class and remedy as trailing metadata."""
    context.set_trailing_metadata(
        (("error", type(why).__name__), ("remedy-bin", why.remedy.encode()))
    )
    context.abort(code, why.message)
    raise AssertionError("abort returned")
