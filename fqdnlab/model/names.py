"""Which names a selector matches: as ``toFQDNs`` and as ``rules.dns``, as Cilium 1.20.2 does.

``*`` stands for zero or more of ``[-a-zA-Z0-9_]``, so never for a dot; a leading ``**.`` (two or
more stars) for one or more whole labels; stars alone, with or without a dot, for everything.
The two uses differ in one thing: stars alone in ``rules.dns`` let every question pass, in
``toFQDNs`` only names made of those characters.

Patterns become regular expressions whose work grows with pattern × name at most: the parts
between stars are found leftmost first and never again (as `fnmatch` does).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from fqdnlab.model.policy import FQDNSelector

__all__ = [
    "MAX_LENGTH",
    "MatchSet",
    "dns_matcher",
    "dns_selector_matcher",
    "fqdn_matcher",
    "matches_everything",
    "normalise",
    "validate_selector",
]

#: Of a selector, its final dot included.
MAX_LENGTH = 255

NameTest = Callable[[str], bool]

_CHAR = "[-a-zA-Z0-9_]"
_STARS_ALONE = re.compile(r"\*+\.?")
_SUBDOMAINS = re.compile(r"\*{2,}\.")
_NAME = re.compile(r"[-a-zA-Z0-9_.]+")
_PATTERN = re.compile(r"[-a-zA-Z0-9_.*]+")
_ANY_NAME = re.compile(rf"(?:{_CHAR}+\.)+|\.").fullmatch


def normalise(name: str) -> str:
    """A name as it is compared: lower case, with a final dot, nothing trimmed.

    Parameters
    ----------
    name : str
        As asked or written.  A final dot that is escaped (``a\\.``) is no final dot.
    """
    # Where Unicode's simple case mapping gives ASCII and Python's full one does not.
    name = name.lower() if name.isascii() else name.replace("\u0130", "i").lower()
    if not name.endswith("."):
        return name + "."
    body = name[:-1]
    escaped = (len(body) - len(body.rstrip("\\"))) % 2
    return name + "." if escaped else name


def validate_selector(selector: FQDNSelector) -> str:
    """What Cilium's parser has against `selector`; empty: nothing.

    The schema of the custom resource is stricter (`policy_schema`): no empty labels.
    """
    name, pattern = selector.match_name, selector.match_pattern
    if bool(name) == bool(pattern):
        return "exactly one of matchName and matchPattern is expected"
    if name and not _NAME.fullmatch(name):
        return f"only letters, digits, '-', '_' and '.' are expected in matchName, not {name!r}"
    if pattern and not _PATTERN.fullmatch(pattern):
        return (
            "only letters, digits, '-', '_', '.' and '*' are expected in matchPattern, "
            f"not {pattern!r}"
        )
    text = name or pattern
    length = len(text if matches_everything(text) else selector.pattern)
    if length > MAX_LENGTH:
        return f"at most {MAX_LENGTH} characters are expected, the final dot included, not {length}"
    return ""


def matches_everything(pattern: str) -> bool:
    """Whether `pattern` is stars alone, with or without a final dot."""
    return _STARS_ALONE.fullmatch(pattern) is not None


def fqdn_matcher(selector: FQDNSelector) -> NameTest:
    """The test that gives a learned name to an item of ``toFQDNs``.

    Returns
    -------
    callable
        Name (in any case, with or without its final dot) → whether the selector selects it.
    """
    if matches_everything(selector.pattern):
        return lambda name: _ANY_NAME(normalise(name)) is not None
    return _matcher(selector.pattern)


def dns_matcher(pattern: str) -> NameTest:
    """The test of a question against the text of an item of ``rules.dns``, as the proxy has it.

    Parameters
    ----------
    pattern : str
        What matchName or matchPattern says: a name is a pattern without stars.
    """
    if matches_everything(pattern):
        return lambda _name: True
    return _matcher(normalise(pattern))


def dns_selector_matcher(selector: FQDNSelector) -> NameTest:
    """`dns_matcher` of an item of ``rules.dns``."""
    return dns_matcher(selector.match_name or selector.match_pattern)


def _matcher(pattern: str) -> NameTest:
    """`pattern` is normalised and not stars alone."""
    if "*" not in pattern:
        return lambda name: normalise(name) == pattern
    fullmatch = re.compile(_expression(pattern)).fullmatch
    return lambda name: fullmatch(normalise(name)) is not None


def _expression(pattern: str) -> str:
    prefix = ""
    if found := _SUBDOMAINS.match(pattern):
        prefix = rf"(?:{_CHAR}+\.)+"
        pattern = pattern[found.end() :]
    return prefix + r"\.".join(_label(label) for label in pattern.split("."))


def _label(label: str) -> str:
    """One label's expression; stars never reach over a dot, so labels are judged one by one."""
    first, *others = (re.escape(part) for part in re.split(r"\*+", label))
    if not others:
        return first
    *middle, last = others
    # Leftmost and kept (atomic): were there a match with a later one, there is one with this.
    return first + "".join(f"(?>{_CHAR}*?{part})" for part in middle) + f"{_CHAR}*{last}"


class MatchSet:
    """Many ``toFQDNs`` selectors, asked at once which of them select a name.

    Names without stars are looked up; patterns are found by the labels after their last star, so
    that a name is tried only against patterns that end like it.

    Parameters
    ----------
    selectors : iterable of FQDNSelector
    """

    def __init__(self, selectors: Iterable[FQDNSelector] = ()) -> None:
        self._exact: dict[str, dict[FQDNSelector, None]] = {}
        self._by_suffix: dict[str, dict[FQDNSelector, NameTest]] = {}
        self._all: dict[FQDNSelector, None] = {}
        for selector in selectors:
            self.add(selector)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[FQDNSelector]:
        return iter(self._all)

    def __contains__(self, selector: object) -> bool:
        return selector in self._all

    def add(self, selector: FQDNSelector) -> None:
        """Take `selector` in; a second time is nothing."""
        if selector in self._all:
            return
        self._all[selector] = None
        if "*" not in selector.pattern:
            self._exact.setdefault(selector.pattern, {})[selector] = None
        else:
            bucket = self._by_suffix.setdefault(_fixed_suffix(selector.pattern), {})
            bucket[selector] = fqdn_matcher(selector)

    def discard(self, selector: FQDNSelector) -> None:
        """Forget `selector`, if it is there."""
        if selector not in self._all:
            return
        del self._all[selector]
        if "*" not in selector.pattern:
            _remove(self._exact, selector.pattern, selector)
        else:
            _remove(self._by_suffix, _fixed_suffix(selector.pattern), selector)

    def match(self, name: str) -> tuple[FQDNSelector, ...]:
        """The selectors that select `name`: first those without stars, then in order of taking."""
        name = normalise(name)
        found = list(self._exact.get(name, ()))
        if self._by_suffix:
            for suffix in _suffixes(name):
                bucket = self._by_suffix.get(suffix)
                if bucket:
                    found += [selector for selector, test in bucket.items() if test(name)]
        return tuple(found)


def _remove(
    index: dict[str, dict[FQDNSelector, None]] | dict[str, dict[FQDNSelector, NameTest]],
    key: str,
    selector: FQDNSelector,
) -> None:
    del index[key][selector]
    if not index[key]:
        del index[key]


def _fixed_suffix(pattern: str) -> str:
    """The whole labels after the last star: ``x.io.`` of ``*.a*.x.io.``."""
    return pattern[pattern.rindex("*") :].partition(".")[2]


def _suffixes(name: str) -> Iterator[str]:
    """``b.c.``, ``c.``, and the empty one of ``a.b.c.``."""
    at = name.find(".")
    while at >= 0:
        yield name[at + 1 :]
        at = name.find(".", at + 1)
