"""Keeping models."""

import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from modules.errors import ModelFileError
from modules.library.cache import ModelCache
from modules.schema import ModelCard


def card(name, size=10):
    return ModelCard(name=name, title=name, family="sd1", path=Path(name), size_bytes=size)


@dataclass
class Model:
    name: str
    size: int

    def size_bytes(self):
        return self.size


class Loader:
    def __init__(self):
        self.loads = []

    def __call__(self, card):
        self.loads.append(card.name)
        return Model(card.name, card.size_bytes)


@pytest.fixture
def loader():
    return Loader()


def use(cache, *names):
    for name in names:
        with cache.acquire(card(name)) as model:
            assert model.name == name


def test_a_model_is_loaded_once(loader):
    cache = ModelCache(100, loader)
    use(cache, "a", "a", "b", "a")
    assert loader.loads == ["a", "b"]


def test_the_one_used_longest_ago_goes_first(loader):
    cache = ModelCache(20, loader)
    use(cache, "a", "b", "a", "c")
    assert cache.loaded() == ("a", "c")


def test_what_is_in_use_stays_even_beyond_the_budget(loader):
    cache = ModelCache(10, loader)
    with cache.acquire(card("a")), cache.acquire(card("b")):
        assert cache.loaded() == ("a", "b")
    assert cache.loaded() == ("b",) or cache.loaded() == ("a",)


def test_a_budget_of_nothing_keeps_nothing(loader):
    cache = ModelCache(0, loader)
    use(cache, "a", "a")
    assert loader.loads == ["a", "a"]
    assert cache.loaded() == ()


def test_room_is_made_before_the_next_is_loaded():
    cache = ModelCache(
        15, lambda card: (seen.append(cache._entries.copy()), Model(card.name, 10))[1]
    )
    seen = []
    use(cache, "a", "b")
    assert seen == [{}, {}]


def test_a_model_whose_file_changed_is_loaded_again(loader):
    cache = ModelCache(100, loader)
    use(cache, "a")
    with cache.acquire(card("a", size=11)):
        pass
    assert loader.loads == ["a", "a"]


def test_an_error_while_loading_passes_through_and_leaves_nothing():
    def fail(card):
        raise ModelFileError("error.model.missing", file="x")

    cache = ModelCache(100, fail)
    for _ in range(2):
        with pytest.raises(ModelFileError), cache.acquire(card("a")):
            pass
    assert cache.loaded() == ()


def test_an_error_while_in_use_gives_the_model_back(loader):
    cache = ModelCache(0, loader)
    with pytest.raises(ZeroDivisionError), cache.acquire(card("a")):
        raise ZeroDivisionError
    assert cache.loaded() == ()


def test_dropping_is_told(loader):
    told = []
    cache = ModelCache(10, loader, lambda: told.append(cache._entries.keys()))
    use(cache, "a")
    assert told == []
    use(cache, "b")
    assert len(told) == 1


def test_threads_that_want_the_same_model_load_it_once(loader):
    cache = ModelCache(100, loader)
    threads = [threading.Thread(target=use, args=(cache, "a")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loader.loads == ["a"]
