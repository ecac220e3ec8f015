"""fqdnlab: FQDN-based network policy, for real, in your hands.

See docs/architecture.md for the processes and the three ways (policy, look-up, packet).
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
