"""What extensions say to a request: their options are checked, and they may write its words."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.errors import ExtensionError, UnknownNameError, UserError
from modules.plugins.manager import Plugins
from modules.schema import GenerationRequest
from tests.plugins.write import ECHO, write

WRITER = """
from modules.plugins import Options, hookimpl, problem

class WriterOptions(Options):
    words: str = ""

class Extension:
    @hookimpl
    def register_options(self):
        return WriterOptions
    @hookimpl
    def rewrite_prompts(self, request, options, index):
        if options.words == "raise":
            raise KeyError("no")
        if options.words == "say":
            raise problem("No such word.", "没有此词。")
        if options.words == "wrong":
            return request.prompt
        if not options.words:
            return None
        request.extras.clear()  # its own copy
        return f"{request.prompt} {options.words}{request.seed_of(index)}", f"not {request.negative_prompt}"
"""


@pytest.fixture
def plugins(tmp_path: Path) -> Iterator[Plugins]:
    write(tmp_path, "echo", ECHO)
    loaded = Plugins.load(tmp_path)
    yield loaded
    loaded.close()


def test_options_are_checked_and_completed(plugins: Plugins) -> None:
    request = GenerationRequest(extras={"echo": {"enabled": True}})
    assert plugins.check(request).extras == {"echo": {"enabled": True, "loudness": 3}}


def test_options_that_are_off_leave_no_trace(plugins: Plugins) -> None:
    request = GenerationRequest(extras={"echo": {"enabled": False, "loudness": 9}})
    assert plugins.check(request).extras == {}


def test_a_wrong_option_is_named(plugins: Plugins) -> None:
    with pytest.raises(UserError, match=r"echo: loudness is 'loud'"):
        plugins.check(GenerationRequest(extras={"echo": {"enabled": True, "loudness": "loud"}}))


def test_a_boolean_is_no_number_and_a_number_may_be_a_switch(plugins: Plugins) -> None:
    request = GenerationRequest(extras={"echo": {"enabled": 1}})
    assert plugins.check(request).extras == {"echo": {"enabled": True, "loudness": 3}}
    with pytest.raises(UserError, match=r"echo: loudness is True.*whole number") as caught:
        plugins.check(GenerationRequest(extras={"echo": {"enabled": True, "loudness": True}}))
    assert "整数" in caught.value.message("zh")


def test_an_unknown_extension_is_refused_with_those_that_exist(plugins: Plugins) -> None:
    with pytest.raises(UnknownNameError, match=r"ohce.*Active ones: echo"):
        plugins.check(GenerationRequest(extras={"ohce": {}}))


JUDGE = """
from modules.plugins import Options, hookimpl, problem

class JudgeOptions(Options):
    does: str = ""

class Extension:
    seen = []
    @hookimpl
    def register_options(self):
        return JudgeOptions
    @hookimpl
    def register_tags(self):
        return ["judge"]
    @hookimpl
    def check_request(self, request, options, family):
        self.seen.append((request.prompt, family))
        if options.does == "refuse" or "no" in request.prompt:
            raise problem("Not that.", "不行。")
        if options.does == "raise":
            raise KeyError("no")
        if options.does == "return":
            return problem("Not that.", "不行。")
        request.extras.clear()  # its own copy
"""


@pytest.fixture
def judged(tmp_path: Path) -> Iterator[Plugins]:
    write(tmp_path, "judge", JUDGE)
    write(tmp_path, "second", WRITER)
    write(tmp_path, "echo", ECHO)
    plugins = Plugins.load(tmp_path)
    yield plugins
    plugins.close()


def judge(plugins: Plugins, does: str = "", prompt: str = "a cat", **extras: object) -> None:
    asked = GenerationRequest(
        prompt=prompt, seed=5, extras={"judge": {"enabled": True, "does": does}, **extras}
    )
    request = plugins.check(asked)
    before = request.model_dump_json()
    try:
        plugins.check_request(request, "sd1")
    finally:
        assert request.model_dump_json() == before


def test_a_request_is_refused_in_the_extensions_words(judged: Plugins) -> None:
    judge(judged)
    with pytest.raises(UserError, match=r"Not that\.") as caught:
        judge(judged, "refuse")
    assert not isinstance(caught.value, ExtensionError)
    assert caught.value.message("zh") == "不行。"


@pytest.mark.parametrize(
    ("does", "said"), [("raise", "judge failed: KeyError"), ("return", "judge .*check_request")]
)
def test_a_fault_in_the_check_has_its_name_and_stops_nobody_else(
    judged: Plugins, does: str, said: str
) -> None:
    with pytest.raises(ExtensionError, match=said):
        judge(judged, does)
    others = judged.check(GenerationRequest(extras={"echo": {"enabled": True}}))
    judged.check_request(others, "sd1")
    judge(judged)


def test_the_check_sees_the_words_of_the_first_picture(judged: Plugins) -> None:
    second = {"enabled": True, "words": "<judge:it> no"}
    with pytest.raises(UserError, match=r"Not that\."):
        judge(judged, second=second)
    # A tag that somebody writes switches it on, as it will in the job.
    asked = GenerationRequest(prompt="a cat", seed=5, extras={"second": second})
    with pytest.raises(UserError, match=r"Not that\."):
        judged.check_request(judged.check(asked), "sd1")


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[Plugins]:
    for name in ("first", "second"):
        write(tmp_path, name, WRITER)
    write(tmp_path, "echo", ECHO)
    plugins = Plugins.load(tmp_path)
    yield plugins
    plugins.close()


def wanted(words: dict[str, str], **fields: object) -> GenerationRequest:
    extras = {name: {"enabled": True, "words": each} for name, each in words.items()}
    return GenerationRequest(prompt="a cat", seed=5, extras=extras, **fields)


def test_prompts_are_written_one_after_the_other(writers: Plugins):
    request = writers.check(wanted({"first": "A", "second": "B"}, negative_prompt="ugly"))
    written = writers.rewritten(request, 2)
    assert written.prompt == "a cat A7 B7"
    assert written.negative_prompt == "not not ugly"
    assert written.extras == {}
    assert writers.rewritten(written, 2) is written
    assert request.extras.keys() == {"first", "second"}


def test_who_does_not_write_stays_in_the_request(writers: Plugins):
    request = writers.check(
        GenerationRequest(
            prompt="x",
            seed=1,
            extras={"first": {"enabled": True}, "echo": {"enabled": True, "loudness": 4}},
        )
    )
    assert writers.rewritten(request, 0) is request


def test_an_error_in_the_words_is_told_and_not_counted(writers: Plugins):
    with pytest.raises(UserError, match=r"No such word\.") as caught:
        writers.rewritten(writers.check(wanted({"first": "say"})), 0)
    assert not isinstance(caught.value, ExtensionError)


@pytest.mark.parametrize("words", ["raise", "wrong"])
def test_a_failure_of_the_writer_names_it(writers: Plugins, words: str):
    with pytest.raises(ExtensionError, match="second"):
        writers.rewritten(writers.check(wanted({"second": words})), 0)
