"""What the traffic's panel says of the last thing that came of it."""

from __future__ import annotations

import pytest

from fqdnlab.notebook.traffic import in_words


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ("", ""),
        ("198.51.100.7", "198.51.100.7"),
        ("gaierror: [Errno -3] Temporary failure in name resolution", "look-up failed"),
        ("gaierror: [Errno -2] Name or service not known", "no such name"),
        ("TimeoutError: timed out", "timed out"),
        ("ConnectionRefusedError: [Errno 111] Connection refused", "connection refused"),
        ("OSError: [Errno 101] Network is unreachable", "unreachable"),
        ("OSError: [Errno 24] Too many open files", "Too many open files"),
        ("too slow: 64 connections wait", "too slow: connections wait"),
        ("rcode 0", "answered"),
        ("rcode 5", "refused"),
        ("rcode 9", "rcode 9"),
    ],
)
def test_an_error_is_said_in_words(last: str, words: str) -> None:
    assert in_words(last) == words
