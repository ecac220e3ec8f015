"""The demo: nine claims about FQDN filtering, each checked on what was observed.

``python -m fqdnlab.demo`` plays the story with unmodified clients (curl, dig, getent, sockets),
prints a table and writes a report.  It uses the public client only.
"""

from __future__ import annotations

from fqdnlab.demo.claims import CLAIMS, Claim, Outcome
from fqdnlab.demo.story import Hooks, Story

__all__ = ["CLAIMS", "Claim", "Hooks", "Outcome", "Story"]
