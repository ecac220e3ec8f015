"""Exercises by number, and judging an answer."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from fqdnlab.errors import FqdnlabError, UsageError
from fqdnlab.lessons.outcome import Outcome

__all__ = ["check", "exercise"]

#: Given the answer and the lab (or None): what is wrong with it; empty if nothing is.
Judge = Callable[[Any, Any], str]

_JUDGES: dict[str, Judge] = {}
_DOWN = "the lab is down: run the notebook from its top, and check before the last cell"


def exercise(number: str) -> Callable[[Judge], Judge]:
    """Let the decorated function judge the answers of the exercise `number`."""

    def keep(judge: Judge) -> Judge:
        _JUDGES[number] = judge
        return judge

    return keep


def check(number: str, answer: Any, lab: Any = None) -> Outcome:
    """Judge an answer.

    Parameters
    ----------
    number : str
        Of the exercise, such as ``01.1``.
    answer : object
        ``...`` and None: not answered yet.
    lab : Lab, optional
        Where the exercise is about a living lab.

    Raises
    ------
    UsageError
        If there is no such exercise.
    """
    lesson = number.partition(".")[0]
    try:
        import_module(f"fqdnlab.lessons.ex{lesson}")
        judge = _JUDGES[number]
    except (ImportError, KeyError) as error:
        raise UsageError(f"there is no exercise {number!r}", "see the notebook's cell") from error
    if answer is None or answer is ...:
        return Outcome(number, "open", "put your answer in the place of ...")
    try:
        wrong = judge(answer, lab)
    except (FqdnlabError, ValueError) as error:
        if lab is not None and lab.closed:  # the last cell ran: nothing is left to look at
            wrong = _DOWN
        elif isinstance(error, FqdnlabError):  # an answer that the lab does not take
            wrong = str(error)
        else:
            raise
    return Outcome(number, "wrong" if wrong else "right", wrong)
