"""What the package shows: pinned, importable one by one, and light until it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fqdnlab


def test_the_public_names_are_these() -> None:
    assert sorted(fqdnlab.__all__) == [
        "FqdnlabError",
        "Lab",
        "__version__",
        "machine_service",
        "open_recording",
    ]


@pytest.mark.parametrize("name", fqdnlab.__all__)
def test_each_is_there(name: str) -> None:
    assert getattr(fqdnlab, name) is not None
    assert name in dir(fqdnlab)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Lob'"):
        _ = fqdnlab.Lob


def test_importing_the_package_loads_no_part_of_it() -> None:
    code = "import sys, fqdnlab; print([m for m in sys.modules if m.startswith('fqdnlab.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
