"""A text's parameters that the program does not know, back into extensions' options."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modules.errors import ExtensionError
from modules.imaging import infotext
from modules.imaging.infotext import PictureFacts
from modules.plugins.manager import Plugins
from modules.plugins.parameters import flat
from modules.schema import GenerationRequest
from tests.plugins.write import write

PLAIN = """
from typing import Literal
from modules.plugins import Options, hookimpl

class Mine(Options):
    weight: float = 1.0
    loud: bool = False
    choice: Literal[1, 2] = 1
    a_word: str = ""
    rows: tuple[int, ...] = ()

class Extension:
    @hookimpl
    def register_options(self):
        return Mine
"""
READS = (
    PLAIN
    + """
    @hookimpl
    def read_parameters(self, parameters):
        {body}
"""
)

CHECKS = (
    PLAIN.replace(
        "    rows:",
        """
    @field_validator("a_word")
    @classmethod
    def _check(cls, word):
        if word:
            {check}
        return word
    rows:""",
    )
    .replace("import Options, hookimpl", "import Options, hookimpl, problem")
    .replace("from typing", "from pydantic import field_validator\nfrom typing")
)

Load = Callable[..., Plugins]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Loads extensions by name and code."""
    loaded = []

    def made(**codes: str) -> Plugins:
        for name, code in codes.items():
            write(tmp_path, name, code)
        loaded.append(Plugins.load(tmp_path))
        assert all(report.reason is None for report in loaded[-1].reports)
        return loaded[-1]

    yield made
    for plugins in loaded:
        plugins.close()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight": -0.1234567, "loud": True, "choice": 2, "a_word": 'a, "b": c\nd'},
        {"a_word": "x" * 5000},
        {"a_word": "7"},
    ],
)
def test_simple_options_come_back_from_the_text(load: Load, options: dict[str, object]) -> None:
    plugins = load(my_own=PLAIN)
    asked = plugins.check(
        GenerationRequest(prompt="a cat", seed=1, extras={"my_own": {"enabled": True, **options}})
    )
    text = infotext.write(asked, index=0, facts=PictureFacts(extras=flat(asked.extras)))
    found, unused = infotext.to_request(text, plugins.read_parameters)
    assert unused == () and found.extras == asked.extras
    fields, _ = infotext.to_fields(text, plugins.read_parameters)
    assert fields["extras"] == asked.extras
    assert infotext.to_request(text)[0].extras == {}, "without the door it is left"


def test_what_is_not_valid_or_of_two_is_unused(load: Load) -> None:
    two = PLAIN.replace("weight", "b_weight"), PLAIN
    plugins = load(a=two[0], a_b=two[1])
    assert plugins.read_parameters({"a b weight": "2"}) == ({}, set()), "could be of either"
    found, used = plugins.read_parameters({"a loud": "maybe", "a choice": "2", "a enabled": "True"})
    assert used == {"a choice"} and found["a"]["choice"] == 2


@pytest.mark.parametrize("check", ["raise ValueError('no')", "raise problem('no', '不')"])
def test_what_the_options_refuse_themselves_is_unused(load: Load, check: str) -> None:
    plugins = load(mine=CHECKS.format(check=check))
    found, used = plugins.read_parameters({"mine a word": "x", "mine weight": "2"})
    assert used == {"mine weight"} and found["mine"]["a_word"] == ""


def test_a_check_that_breaks_is_told_by_name(load: Load) -> None:
    plugins = load(mine=CHECKS.format(check="1 / 0"))
    with pytest.raises(ExtensionError, match="mine failed: ZeroDivisionError"):
        plugins.read_parameters({"mine a word": "x"})


def test_a_hook_reads_what_is_its_own(load: Load) -> None:
    plugins = load(
        mine=READS.format(body='return {"rows": [1, 2], "weight": 5}, ["Rows"]'),
        facts=READS.format(body='return {}, {"Rows hash"}'),
        other=READS.format(body="parameters.clear()"),
    )
    text = "a cat\nSteps: 4, Seed: 1, Rows: x, Rows hash: 7, mine weight: 2, Else: 1"
    found, unused = infotext.to_request(text, plugins.read_parameters)
    assert found.extras.keys() == {"mine"} and unused == ("Else: 1",)
    assert found.extras["mine"] == {
        "enabled": True, "weight": 2.0, "loud": False, "choice": 1, "a_word": "", "rows": [1, 2],
    }  # fmt: skip


def test_values_that_are_not_allowed_leave_the_keys_unused(load: Load) -> None:
    plugins = load(mine=READS.format(body='return {"rows": ["x"]}, ["Rows"]'))
    assert plugins.read_parameters({"Rows": "x"}) == ({}, set())
    found, used = plugins.read_parameters({"Rows": "x", "mine weight": "2"})
    assert used == {"mine weight"} and found["mine"]["weight"] == 2


@pytest.mark.parametrize(
    "body", ["return 3", 'return {}, "Rows"', "return [], []", 'return {}, ["Steps"]', "1 / 0"]
)
def test_who_does_it_wrong_is_named(load: Load, body: str) -> None:
    plugins = load(mine=READS.format(body=body))
    with pytest.raises(ExtensionError, match="mine"):
        plugins.read_parameters({"Rows": "x"})
    assert infotext.to_request("a cat\nSteps: 4, Seed: 1, CFG scale: 2", plugins.read_parameters)
