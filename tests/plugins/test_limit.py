"""A call that may take so long and no longer."""

import threading

import pytest

from modules.plugins.limit import Hung, limited


def test_a_busy_thread_is_cut() -> None:
    before = set(threading.enumerate())

    def busy() -> None:
        while True:
            pass

    with pytest.raises(Hung):
        limited(busy, 3)
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()


def test_limited_gives_back_what_it_was_given() -> None:
    assert limited(lambda: 7, 5) == 7
    with pytest.raises(KeyError):
        limited(lambda: {}["x"], 5)
