"""What was encoded before."""

import torch

from modules.diffusion.conditioning import Encoded
from modules.diffusion.prompts.cache import EncodedCache, cached, text_key


def encoded(size=10):
    return Encoded(torch.zeros(1, size, dtype=torch.uint8))


class Calls:
    def __init__(self):
        self.seen = []

    def __call__(self, texts):
        self.seen.append(list(texts))
        return [encoded() for _ in texts]


def test_a_text_is_encoded_once():
    calls, cache = Calls(), EncodedCache()
    look = cached(calls, cache, "key")
    first = look(["a", "b"])
    again = look(["b", "c", "a"])
    assert calls.seen == [["a", "b"], ["c"]]
    assert again[0] is first[1]
    assert again[2] is first[0]
    look(["a", "b"])
    assert len(calls.seen) == 2


def test_what_the_numbers_depend_on_keeps_texts_apart():
    calls, cache = Calls(), EncodedCache()
    for key in ("one", "two"):
        cached(calls, cache, key)(["a"])
    assert calls.seen == [["a"], ["a"]]


def test_without_a_key_nothing_is_read_or_kept():
    calls, cache = Calls(), EncodedCache()
    cached(calls, cache, "key")(["a"])
    cached(calls, cache, None)(["a"])
    assert calls.seen == [["a"], ["a"]]
    assert len(cache) == 1


def test_the_least_used_go_first():
    cache = EncodedCache(most_bytes=25)
    cache.put("a", encoded())
    cache.put("b", encoded())
    assert cache.get("a") is not None
    cache.put("c", encoded())
    assert (cache.get("b"), len(cache)) == (None, 2)
    cache.put("huge", encoded(99))
    assert (cache.get("huge"), len(cache)) == (None, 2)
    cache.put("a", encoded(20))
    assert len(cache) == 1
    cache.clear()
    cache.put("d", encoded(25))
    assert len(cache) == 1


class Changes:
    def __init__(self, key):
        self.text_key = key


def test_adapters_say_what_they_do_to_texts():
    assert text_key([]) == ()
    assert text_key([Changes(""), Changes("lora a 0.8"), Changes("lora b 1")]) == (
        "lora a 0.8",
        "lora b 1",
    )
    assert text_key([Changes("lora a 0.8"), Changes(None)]) is None
