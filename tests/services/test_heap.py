import gc

import pytest

from modules.services.heap import building


@pytest.fixture(autouse=True)
def as_it_was():
    was = gc.isenabled()
    yield
    gc.enable() if was else gc.disable()


def test_nothing_is_searched_until_it_is_built_and_then_only_what_is_new():
    gc.enable()
    frozen = gc.get_freeze_count()
    with building() as built:
        assert not gc.isenabled()
        built()
        assert gc.isenabled() and gc.get_freeze_count() > frozen
    assert gc.isenabled() and gc.get_freeze_count() == 0


def test_a_fault_while_it_is_built_leaves_the_collector_as_it_was():
    gc.enable()
    with pytest.raises(ValueError, match="x"), building():
        raise ValueError("x")
    assert gc.isenabled()


def test_where_it_was_off_it_stays_off():
    gc.disable()
    with building() as built:
        built()
        assert not gc.isenabled()
    assert not gc.isenabled()
