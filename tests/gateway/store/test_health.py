"""How working with the store has been going."""

from pathlib import Path

import pytest

from gateway.store.errors import DiskFull, Gone, Locked, Misfit, Reopened, StoreError
from gateway.store.health import StoreHealth
from gateway.store.opening import open_buffer
from tests.gateway.store.rig import NOW_S


def refuse() -> bool:
    raise StoreError("the disk is full")


def test_what_fails_is_counted_and_logged_once_until_something_is_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    now_s = [100.0]
    health = StoreHealth(Path("buffer.sqlite"), lambda: now_s[0])
    assert not health.does(refuse)
    now_s[0] = 200.0
    assert health.ask(refuse, otherwise=True)
    assert (health.errors, health.last_error_s, health.failing) == (2, 200.0, True)
    assert health.last_error == "the disk is full"
    assert health.last_success_s is None

    assert health.ask(lambda: 3, otherwise=0) == 3
    assert health.does(lambda: None, writes=False)
    assert health.does(lambda: False), "it had nothing to write"
    assert health.failing

    now_s[0] = 300.0
    assert health.does(lambda: True)
    assert (health.failing, health.last_success_s, health.errors) == (False, 300.0, 2)
    assert caplog.messages == ["the disk is full", "buffer.sqlite: can be written again"]


def test_where_all_is_well_having_nothing_to_write_is_success_too() -> None:
    health = StoreHealth(Path("buffer.sqlite"), lambda: 100.0)
    assert health.does(lambda: False)
    assert health.last_success_s == 100.0
    assert not health.does(refuse, writes=False)


def test_closing_a_file_with_nothing_to_write_is_no_proof_that_its_disk_takes_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    buffer = open_buffer(tmp_path / "buffer.sqlite", now_s=NOW_S)
    buffer.flush()
    health = StoreHealth(buffer.path, lambda: NOW_S)
    health.failed(StoreError("its disk is read-only"))
    caplog.clear()
    assert health.does(buffer.close_file), "nothing is lost by it"
    assert health.failing
    assert caplog.messages == []


def test_a_file_that_is_gone_is_no_matter_of_patience() -> None:
    def gone() -> bool:
        raise Gone("there is no file")

    health = StoreHealth(Path("buffer.sqlite"), lambda: 100.0)
    assert health.does(lambda: True)
    assert not health.does(gone)
    assert health.is_lost
    assert health.does(lambda: True)
    assert not health.is_lost


@pytest.mark.parametrize("refusal", [StoreError, DiskFull, Misfit])
def test_a_disk_that_refuses_is_a_fault_at_once(refusal: type[StoreError]) -> None:
    def refused() -> bool:
        raise refusal("no")

    health = StoreHealth(Path("buffer.sqlite"), lambda: 100.0)
    assert health.does(lambda: True)
    assert not health.does(refused)
    assert health.is_lost
    assert health.does(lambda: True)
    assert not health.is_lost


@pytest.mark.parametrize("wait", [Locked, Reopened])
def test_a_lock_is_waited_for_and_a_file_that_was_opened_anew_is_tried_again(
    wait: type[StoreError],
) -> None:
    def refused() -> bool:
        raise wait("not now")

    health = StoreHealth(Path("buffer.sqlite"), lambda: 100.0)
    assert health.does(lambda: True)
    assert not health.does(refused)
    assert health.failing
    assert not health.is_lost
