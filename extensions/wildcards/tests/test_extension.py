"""Through the door: a job with wildcards, and what its pictures say."""

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


def written(bench: Bench, prompt: str, index: int = 0, **options: object) -> str:
    request = bench.request(dict(options), prompt=prompt, negative_prompt="{x|y}", seed=3)
    return bench.plugins.rewritten(request, index).prompt


def test_each_picture_has_words_of_its_own(bench: Bench) -> None:
    prompts = [written(bench, "a __colours__ __animals__", index) for index in range(6)]
    assert len(set(prompts)) > 3
    assert prompts == [written(bench, "a __colours__ __animals__", index) for index in range(6)]
    assert not any("_" in prompt for prompt in prompts)


def test_all_pictures_may_share_them(bench: Bench) -> None:
    found = {written(bench, "a __colours__ __animals__", index, each=False) for index in range(6)}
    assert len(found) == 1


def test_it_leaves_prompts_without_choices_alone(bench: Bench) -> None:
    request = bench.request({}, prompt="a cat", negative_prompt="")
    assert bench.plugins.rewritten(request, 0) is request


def test_what_is_wrong_is_the_writers_and_not_the_extensions(bench: Bench) -> None:
    with pytest.raises(UserError, match="is not closed") as caught:
        written(bench, "a {cat|dog")
    assert caught.value.key == "error.extension.said"


def test_every_list_that_comes_along_can_be_drawn(bench: Bench) -> None:
    names = sorted(path.stem for path in (HERE / "lists").glob("*.txt"))
    assert names == ["animals", "anything", "colours", "fruits", "styles"]
    for name in names:
        assert "__" not in written(bench, f"__{name}__")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_keeps_what_authors_promise() -> None:
    assert [finding for finding in check(HERE) if not finding.good] == []
