"""The observer: kernel events and DNS records in, flows and metrics out (ways 2.11, 3.7-3.9).

::

    ring buffer ──┐                       ┌─► GetFlows (Hubble's gRPC): history ─► decode ─► filters
                  ├─► intake ─► history ──┤
    records.sock ─┘      │                └─► Prometheus
                         └─► names (what each endpoint itself resolved, and when)
    rules.json ─────────────► rules (names of rules, endpoints, identities, as they were then)

Octets are kept as they came and decoded only when somebody looks; the reader's thread only sorts,
counts and keeps.
"""
