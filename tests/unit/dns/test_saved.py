"""The last snapshot on disk."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fqdnlab.dns.proxy.saved import SavedPolicy
from fqdnlab.pb import fqdndata_pb2 as pb
from tests.unit.dns.test_table import ONE


def test_as_it_was(tmp_path: Path) -> None:
    SavedPolicy(tmp_path).save(ONE)
    assert SavedPolicy(tmp_path).load() == ONE
    assert [p.name for p in tmp_path.iterdir()] == ["policy.bin"]


def test_the_newest_replaces(tmp_path: Path) -> None:
    saved = SavedPolicy(tmp_path)
    saved.save(ONE)
    saved.save(pb.PolicyState())
    assert saved.load() == pb.PolicyState()


def test_none_at_first(tmp_path: Path) -> None:
    assert SavedPolicy(tmp_path).load() is None


@given(st.data())
def test_a_corrupt_one_is_set_aside_and_named(data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        SavedPolicy(folder).save(ONE)
        path = folder / "policy.bin"
        octets = bytearray(path.read_bytes())
        if data.draw(st.booleans()):
            octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
        else:
            octets = octets[: data.draw(st.integers(0, len(octets) - 1))]
        path.write_bytes(octets)
        assert SavedPolicy(folder).load() is None
        assert (folder / "policy.corrupt").read_bytes() == octets
        assert not path.exists()
        SavedPolicy(folder).save(ONE)
        assert SavedPolicy(folder).load() == ONE


def test_its_name_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "policy.bin"
    path.write_bytes(b"nonsense")
    with caplog.at_level(logging.WARNING):
        SavedPolicy(tmp_path).load()
    assert f"{path} is corrupt; set aside as {tmp_path / 'policy.corrupt'}" in caplog.text


def test_a_failed_write_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SavedPolicy(tmp_path).save(ONE)

    def full(self: Path, octets: bytes) -> int:
        with self.open("wb") as file:
            file.write(octets[:10])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        SavedPolicy(tmp_path).save(pb.PolicyState())
    assert SavedPolicy(tmp_path).load() == ONE
