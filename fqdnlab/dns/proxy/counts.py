"""What the proxy counts: Cilium's names where there is one, ours with our prefix."""

from __future__ import annotations

from bisect import bisect_left

from fqdnlab.dns.proxy.transaction import Transaction
from fqdnlab.metrics import Family
from fqdnlab.model.dnsrecord import Early

__all__ = ["Counts"]

_BUCKETS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0)
_BOUNDS = [int(bound * 1e9) for bound in _BUCKETS]


def _ours(name: str, text: str, value: float) -> Family:
    return Family(f"fqdnlab_proxy_{name}_total", "counter", text, [({}, value)])


class Counts:
    """Plain numbers, added to on the hot path, made into metrics when asked."""

    def __init__(self) -> None:
        self.received = self.forwarded = self.denied = self.malformed = self.failed = 0
        self.shed = self.update_timeouts = self.refused_mappings = 0
        self.lost_mappings = self.unsent = 0
        self.early = dict.fromkeys(Early, 0)
        self._buckets = [0] * (len(_BUCKETS) + 1)
        self._nanoseconds = 0

    def answered(self, t: Transaction) -> None:
        """An answer was released."""
        if t.early:
            self.early[Early(t.early)] += 1
        self._nanoseconds += t.took
        self._buckets[bisect_left(_BOUNDS, t.took)] += 1

    def families(self) -> list[Family]:
        """All, as they are now."""
        rules = {
            "received": self.received,
            "forwarded": self.forwarded,
            "denied": self.denied,
            "parse_errors": self.malformed,
        }
        return [
            Family(
                "cilium_policy_l7_total",
                "counter",
                "Questions by what became of them",
                [({"rule": k, "proxy_type": "fqdn"}, v) for k, v in rules.items()],
            ),
            Family(
                "cilium_proxy_datapath_update_timeout_total",
                "counter",
                "Answers released at the hold deadline",
                [({}, self.update_timeouts)],
            ),
            Family(
                "cilium_fqdn_semaphore_rejected_total",
                "counter",
                "Questions shed over the concurrency limit",
                [({}, self.shed)],
            ),
            self._histogram(),
            Family(
                "fqdnlab_proxy_early_answers_total",
                "counter",
                "Answers released before the kernel held their addresses",
                [({"reason": e.name.lower()}, n) for e, n in self.early.items() if e],
            ),
            _ours("failed", "Questions without an answer from upstream", self.failed),
            _ours("refused_mappings", "Mappings the agent would not have", self.refused_mappings),
            _ours("lost_mappings", "Mappings that no agent took, not kept", self.lost_mappings),
            _ours("unsent", "Answers that could not be sent to the client", self.unsent),
        ]

    def _histogram(self) -> Family:
        labels = {"error": "allow", "protocol_l7": "dns", "scope": "totalTime"}
        series: list[tuple[str, dict[str, str], float]] = []
        total = 0
        for bound, count in zip((*map(str, _BUCKETS), "+Inf"), self._buckets, strict=True):
            total += count
            series.append(("_bucket", {**labels, "le": bound}, total))
        series += [("_sum", labels, self._nanoseconds / 1e9), ("_count", labels, total)]
        return Family(
            "cilium_proxy_upstream_reply_seconds",
            "histogram",
            "Question to released answer",
            series,
        )
