"""Questions to an extension: answered in time, or by name."""

import time

import pytest

from modules.errors import ExtensionError, UserError
from modules.plugins import problem
from modules.plugins.asking import asked


def test_the_answer_comes_back() -> None:
    assert asked("echo", "plan", lambda: 7) == 7


def test_its_own_words_pass() -> None:
    def refuse() -> None:
        raise problem("No such style.", "没有此风格。")

    with pytest.raises(UserError, match=r"No such style\.") as caught:
        asked("echo", "plan", refuse)
    assert not isinstance(caught.value, ExtensionError)


def test_a_fault_has_its_name() -> None:
    def break_down() -> None:
        raise KeyError("no")

    with pytest.raises(ExtensionError, match="extension echo failed: KeyError") as caught:
        asked("echo", "plan", break_down)
    assert isinstance(caught.value.__cause__, KeyError)


def test_what_does_not_come_back_is_named_with_where_it_was(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ExtensionError, match="echo did not come back from plan") as caught:
        asked("echo", "plan", lambda: time.sleep(1000), seconds=5)
    assert "test_asking.py" in "".join(caught.value.__notes__)
    assert "test_asking.py" in caplog.text
