"""What a word without quotes means in YAML, as Go's yaml package (Kubernetes' tools) reads it."""

from __future__ import annotations

import re

__all__ = ["plain_value"]

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(
        ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True
    ),
    **dict.fromkeys(
        ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False
    ),
}
_FLOATS = {
    ".nan": "nan",
    ".NaN": "nan",
    ".NAN": "nan",
    **{f"{sign}.{word}": f"{sign}inf" for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")},
}
_INTEGER = re.compile(
    r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)", re.ASCII | re.IGNORECASE
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
#: Longer ones are no number of ours, and slow to turn into one.
_MAX_DIGITS = 400


def plain_value(text: str) -> str | int | float | bool | None:
    """What `text` means (YAML 1.1): null, true or false, a number, else the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if text in _FLOATS:
        return float(_FLOATS[text])
    if len(text) > _MAX_DIGITS:
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _integer(text: str) -> str | int:
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-").lower()
    for prefix, base in (("0x", 16), ("0b", 2), ("0o", 8), ("0", 8)):
        rest = digits.removeprefix(prefix)
        if rest != digits and rest:
            return sign * int(rest, base)
    return sign * int(digits) if digits.isdigit() else text
