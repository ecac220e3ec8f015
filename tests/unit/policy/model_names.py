"""Which names a selector matches, said slowly: label by label, character by character.

Nothing of `fqdnlab.model.names` and no regular expressions are used here.
"""

from __future__ import annotations

import string

CHARACTERS = set(string.ascii_letters + string.digits + "-_")


def canonical(name: str) -> str:
    """Lower case, and a final dot unless there is one that no backslash escapes."""
    name = name.lower()
    backslashes = 0
    for character in reversed(name[:-1]):
        if character != "\\":
            break
        backslashes += 1
    ends = name[-1:] == "." and backslashes % 2 == 0
    return name if ends else name + "."


def only_stars(pattern: str) -> bool:
    stars = pattern[:-1] if pattern[-1:] == "." else pattern
    return len(stars) > 0 and all(character == "*" for character in stars)


def label_matches(pattern: str, label: str) -> bool:
    """A star stands for any number of the characters, none of which is a dot."""
    reachable = {0}  # how much of the label the pattern so far may have taken
    for wanted in pattern:
        following: set[int] = set()
        for at in reachable:
            if wanted == "*":
                end = at
                following.add(end)
                while end < len(label) and label[end] in CHARACTERS:
                    end += 1
                    following.add(end)
            elif at < len(label) and label[at] == wanted:
                following.add(at + 1)
        reachable = following
    return len(label) in reachable


def whole_label(label: str) -> bool:
    return len(label) > 0 and all(character in CHARACTERS for character in label)


def labels_match(patterns: list[str], labels: list[str]) -> bool:
    return len(patterns) == len(labels) and all(map(label_matches, patterns, labels))


def pattern_matches(pattern: str, name: str) -> bool:
    """`pattern` is not stars alone; both are canonical."""
    patterns, labels = pattern.split("."), name.split(".")
    first = patterns[0]
    if len(first) >= 2 and set(first) == {"*"}:
        rest = patterns[1:]
        count = len(labels) - len(rest)
        return (
            count >= 1
            and all(map(whole_label, labels[:count]))
            and labels_match(rest, labels[count:])
        )
    return labels_match(patterns, labels)


def as_fqdn(pattern: str, name: str) -> bool:
    """What ``toFQDNs`` selects."""
    name = canonical(name)
    if only_stars(pattern):
        labels = name.split(".")
        return name == "." or (labels[-1] == "" and all(map(whole_label, labels[:-1])))
    return pattern_matches(canonical(pattern), name)


def as_dns(pattern: str, name: str) -> bool:
    """What ``rules.dns`` lets pass."""
    return only_stars(pattern) or pattern_matches(canonical(pattern), canonical(name))
