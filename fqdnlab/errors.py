"""The one exception tree, typed by who must act; each error carries a remedy.

::

    FqdnlabError
    ├── UsageError            the caller: an argument, a name, a setting
    │   └── PolicyError       ... in a policy document (has places)
    ├── SetupError            the machine: root, a tool, the kernel, a package
    ├── UnavailableError      a process that is dead or does not answer
    │   └── LateError         ... it answered, but not in time: who is late
    ├── ConflictError         a lab of the same name with other settings
    └── StateError            a file or a map that is not what it should be
"""

from __future__ import annotations

__all__ = [
    "ConflictError",
    "FqdnlabError",
    "LateError",
    "PolicyError",
    "SetupError",
    "StateError",
    "UnavailableError",
    "UsageError",
    "let_go",
]


class FqdnlabError(Exception):
    """Base of all errors that fqdnlab raises on purpose.

    Parameters
    ----------
    message : str
        What happened, in one sentence, with the place.
    remedy : str, optional
        What to do about it, in one sentence.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


class UsageError(FqdnlabError, ValueError):
    """The caller asked for something that cannot be."""


class PolicyError(UsageError):
    """A policy document is invalid.

    Parameters
    ----------
    message, remedy : str
        As for `FqdnlabError`.
    places : tuple of (str, int, str)
        ``(field path, line, what was expected)`` for each fault.
    """

    def __init__(
        self, message: str, remedy: str = "", places: tuple[tuple[str, int, str], ...] = ()
    ) -> None:
        super().__init__(message, remedy)
        self.places = places


class SetupError(FqdnlabError):
    """The machine lacks something: root, a tool, a kernel feature."""


class UnavailableError(FqdnlabError):
    """A process is dead or cannot be reached."""


class LateError(UnavailableError):
    """Something was not done by its deadline; the message names who is late."""


class ConflictError(FqdnlabError):
    """A lab of that name lives with other settings."""


class StateError(FqdnlabError):
    """A state file or a pinned map is not what it should be."""


def let_go(who: str) -> UsageError:
    """For whoever asks through a lab that is down, or was closed."""
    return UsageError(
        f"{who} cannot be asked: this lab was taken down, or closed, here",
        "run what makes it again:  lab = Lab(…)",
    )
