"""Through the door: what a job with presets is made of."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.errors import UserError
from modules.plugins.bench import Bench
from modules.plugins.conformance import check

HERE = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench(HERE)
    assert made.active, made.plugins.reports
    yield made
    made.close()


def test_the_words_are_written_and_the_options_leave(bench: Bench):
    request = bench.request({"names": "Oil painting"}, prompt="a cat", negative_prompt="ugly")
    written = bench.plugins.rewritten(request, 0)
    assert written.prompt.startswith("oil painting of a cat, ")
    assert written.negative_prompt.startswith("ugly, photograph")
    assert written.extras == {}


def test_names_are_the_switch(bench: Bench):
    from modules.schema import GenerationRequest

    on = GenerationRequest(prompt="a cat", extras={"styles": {"names": "Anime"}})
    off = GenerationRequest(prompt="a cat", extras={"styles": {"names": ""}})
    assert bench.plugins.check(on).extras["styles"]["enabled"] is True
    assert bench.plugins.check(off).extras == {}


@pytest.mark.parametrize(
    "names, words", [("Nothing such", "no style preset"), ("Anime:7", "0 to 2")]
)
def test_what_is_wrong_is_said_before_a_model_is_touched(bench: Bench, names: str, words: str):
    with pytest.raises(UserError, match=words):
        bench.plugins.rewritten(bench.request({"names": names}), 0)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_keeps_what_authors_promise():
    assert [finding for finding in check(HERE) if not finding.good] == []
