"""What the tests of the world draw from: names, addresses, questions."""

from __future__ import annotations

import ipaddress

from hypothesis import strategies as st

LABELS = st.text("abcxyzABC019-_", min_size=1, max_size=12)
#: Few labels of few letters, so that names meet.
FEW = st.lists(st.sampled_from(["a", "b", "c", "*"]), min_size=1, max_size=4).map(".".join)
NAMES = st.lists(LABELS, min_size=1, max_size=6).map(".".join)
V4 = st.integers(0, (1 << 32) - 1).map(lambda n: str(ipaddress.IPv4Address(n)))
V6 = st.integers(1 << 96, (1 << 128) - 1).map(lambda n: str(ipaddress.IPv6Address(n)))
ADDRESSES = st.lists(V4 | V6, max_size=12, unique=True)
