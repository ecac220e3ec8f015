"""Recordings: what happened in a lab, in one file (docs/recording.md); opened anywhere.

`open_recording` needs no root, no lab and nothing of Linux; `Lab.record` writes.
"""

from __future__ import annotations

from fqdnlab.recording.reader import Recording, open_recording

__all__ = ["Recording", "open_recording"]
