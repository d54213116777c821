"""Master keys that forget one leaf and no other, and the file in which they lie."""

from __future__ import annotations

import base64
import os
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.vault.faults import BadKeys, KeyDestroyed, UnknownKey, VaultFault
from services.vault.keyfile import KeyFile, outer_secrets
from services.vault.keys import DEPTH, LEAVES, KeyRing, MasterKey
from services.vault.sealing import new_key

NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
BOTH = re.compile(r"[\u4e00-\u9fff].* \| .*[a-z]")
CLOSE_LEAVES = st.integers(0, 15) | st.integers(LEAVES - 16, LEAVES - 1) | st.integers(0, LEAVES - 1)


def opens(key: MasterKey, leaf: int) -> bool:
    try:
        key.wrapping_key(leaf)
    except KeyDestroyed:
        return False
    return True


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    made = KeyFile(tmp_path / "keys.json")
    made.create(NOW)
    return made


@settings(max_examples=50)
@given(st.lists(CLOSE_LEAVES, max_size=8), st.lists(CLOSE_LEAVES, min_size=1, max_size=8))
def test_it_forgets_what_it_is_to_forget_and_nothing_else(forgotten: list[int], others: list[int]) -> None:
    whole = MasterKey.new("k")
    key = whole
    for leaf in forgotten:
        key = key.forget(leaf)
    assert [] == [leaf for leaf in forgotten if opens(key, leaf)]
    kept = set(others) - set(forgotten)
    assert {leaf: whole.wrapping_key(leaf) for leaf in kept} == {leaf: key.wrapping_key(leaf) for leaf in kept}


def test_what_was_derived_for_neighbours_opens_none_that_is_forgotten() -> None:
    key = MasterKey.new("k")
    before = {leaf: key.wrapping_key(leaf) for leaf in range(40)}
    assert before == {leaf: MasterKey("k", key.nodes).wrapping_key(leaf) for leaf in reversed(range(40))}
    less = key.forget(17)
    assert {leaf: before[leaf] for leaf in range(40) if leaf != 17} == {leaf: less.wrapping_key(leaf) for leaf in range(40) if leaf != 17}
    assert not opens(less, 17)


def test_more_people_than_are_remembered_are_derived_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.vault.keys._DERIVED_MAX", 3)
    key = MasterKey.new("k")
    leaves = [*range(0, 200, 16), *range(0, 200, 16)]
    assert [MasterKey("k", key.nodes).wrapping_key(leaf) for leaf in leaves] == [key.wrapping_key(leaf) for leaf in leaves]


def test_no_node_above_a_forgotten_leaf_is_left() -> None:
    leaf = 0b1010
    path = f"{leaf:0{DEPTH}b}"
    key = MasterKey.new("k").forget(leaf)
    assert {path[:depth] for depth in range(DEPTH + 1)}.isdisjoint(key.nodes)
    assert DEPTH == len(key.nodes)


def test_neighbours_that_are_forgotten_make_the_file_smaller_again() -> None:
    key = MasterKey.new("k")
    for leaf in range(64):
        key = key.forget(leaf)
    assert DEPTH - 6 == len(key.nodes)


def test_every_leaf_has_a_key_of_its_own() -> None:
    key = MasterKey.new("k")
    assert 1000 == len({key.wrapping_key(leaf) for leaf in range(1000)})


def test_forgetting_twice_changes_nothing() -> None:
    key = MasterKey.new("k").forget(5)
    assert key.nodes == key.forget(5).nodes


@pytest.mark.parametrize("leaf", [-1, LEAVES])
def test_there_are_no_leaves_beyond_the_tree(leaf: int) -> None:
    with pytest.raises(ValueError, match="a leaf is between"):
        MasterKey.new("k").wrapping_key(leaf)


def test_a_renewed_ring_opens_what_older_keys_sealed() -> None:
    old = KeyRing.new(NOW)
    new = old.renew(NOW).renew(NOW)
    assert ["2026-11-25-1", "2026-11-25-2", "2026-11-25-3"] == sorted(new.keys)
    assert "2026-11-25-3" == new.current
    assert old.wrapping_key(old.current, 9) == new.wrapping_key(old.current, 9)
    assert [new.current] == list(new.retire().keys)
    with pytest.raises(UnknownKey):
        new.retire().wrapping_key(old.current, 9)


def test_nothing_of_a_key_is_shown() -> None:
    ring = KeyRing.new(NOW)
    root = ring.keys[ring.current].nodes[""]
    shown = repr(ring) + repr(ring.keys[ring.current]) + str(ring)
    assert repr(root) not in shown
    assert base64.b64encode(root).decode() not in shown


def test_the_file_gives_back_what_was_written_and_only_its_owner_reads_it(file: KeyFile) -> None:
    ring = file.change(lambda ring: ring.renew(NOW).forget([("2026-11-25-1", 3)]))
    again = KeyFile(file.path).ring()
    assert ring.as_json() == again.as_json()
    assert 0o600 == file.path.stat().st_mode & 0o777


def test_a_file_that_is_there_is_never_replaced(file: KeyFile) -> None:
    before = file.path.read_bytes()
    with pytest.raises(BadKeys, match=BOTH):
        file.create(NOW)
    assert before == file.path.read_bytes()


def test_another_process_sees_a_change_at_once_and_brings_nothing_back(file: KeyFile) -> None:
    other = KeyFile(file.path)
    key_id = other.ring().current
    file.change(lambda ring: ring.forget([(key_id, 1)]))
    assert other.ring().is_forgotten(key_id, 1)
    other.change(lambda ring: ring.forget([(key_id, 2)]))
    assert [True, True, False] == [file.ring().is_forgotten(key_id, leaf) for leaf in (1, 2, 3)]


def test_many_at_once_lose_no_erasure(file: KeyFile) -> None:
    key_id = file.ring().current

    def forget(leaf: int) -> None:
        KeyFile(file.path).change(lambda ring: ring.forget([(key_id, leaf)]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(forget, range(0, 64, 2)))
    assert [leaf % 2 == 0 for leaf in range(64)] == [file.ring().is_forgotten(key_id, leaf) for leaf in range(64)]


def test_the_old_file_is_overwritten(file: KeyFile, tmp_path: Path) -> None:
    kept = tmp_path / "link"
    os.link(file.path, kept)  # the same bytes on the disk under a second name
    secret = base64.b64encode(file.ring().keys[file.ring().current].nodes[""])
    assert secret in kept.read_bytes()
    file.change(lambda ring: ring.forget([(ring.current, 0)]))
    assert secret not in kept.read_bytes()
    assert secret not in file.path.read_bytes()


def test_nothing_is_left_beside_the_file_but_its_lock(file: KeyFile) -> None:
    file.change(lambda ring: ring.renew(NOW))
    assert ["keys.json", "keys.json.lock"] == sorted(path.name for path in file.path.parent.iterdir())


def test_with_a_secret_from_outside_the_file_is_sealed_and_secrets_can_be_changed(tmp_path: Path) -> None:
    first, second = new_key(), new_key()
    path = tmp_path / "keys.json"
    KeyFile(path, [first]).create(NOW)
    ring = KeyFile(path, [second, first]).ring()
    assert b"nodes" not in path.read_bytes()
    KeyFile(path, [second, first]).change(lambda ring: ring.forget([(ring.current, 0)]))
    assert ring.current == KeyFile(path, [second]).ring().current
    for outer in ((), (first,)):
        with pytest.raises(BadKeys, match="LASTMETRE_VAULT_SECRET"):
            KeyFile(path, outer).ring()


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BadKeys, match="new-keys") as raised:
        KeyFile(tmp_path / "none.json").ring()
    assert BOTH.search(str(raised.value))


def test_a_file_that_others_may_read_is_refused(file: KeyFile) -> None:
    file.path.chmod(0o640)
    with pytest.raises(BadKeys, match="chmod 600") as raised:
        file.ring()
    assert BOTH.search(str(raised.value))


WEAK = ["", "secret", base64.b64encode(b"\0" * 32).decode(), base64.b64encode(b"ab" * 16).decode(), base64.b64encode(b"short").decode(), "é" * 40]


@pytest.mark.parametrize("text", WEAK)
def test_a_weak_key_is_refused_without_being_repeated(file: KeyFile, text: str) -> None:
    document = file.ring().as_json()
    document["keys"][0]["nodes"] = {"": text}
    file.path.write_bytes(orjson.dumps(document))
    with pytest.raises(BadKeys, match="openssl rand") as raised:
        file.ring()
    assert BOTH.search(str(raised.value))
    assert not text or text not in str(raised.value)


@pytest.mark.parametrize("text", [one for one in WEAK if one])
def test_a_weak_secret_from_outside_is_refused(text: str) -> None:
    with pytest.raises(BadKeys, match="LASTMETRE_VAULT_SECRET"):
        outer_secrets(text)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"null", b'{"format":2}', b'{"format":1,"current":"a","keys":[]}', b'{"format":1,"sealed":"eA=="}', b"\xff"]
)
def test_what_is_no_key_file_is_refused(file: KeyFile, content: bytes) -> None:
    file.path.write_bytes(content)
    with pytest.raises(VaultFault, match=BOTH):
        file.ring()


def test_a_reader_never_meets_the_old_file_while_it_is_overwritten(file: KeyFile) -> None:
    def read() -> None:
        for _ in range(200):
            KeyFile(file.path).ring()

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        while not all(reader.done() for reader in readers):
            file.change(lambda ring: ring.renew(NOW).retire())
        for reader in readers:
            reader.result()
