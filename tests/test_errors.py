"""Errors speak both languages and cross a process border unharmed."""

from modules.errors import LimitError, UserError


def test_both_languages_say_what_was_found() -> None:
    error = LimitError("error.limit", field="steps", found=0, least=1, most=150)
    assert str(error).startswith("steps is 0;")
    assert "0" in error.message("zh") and error.message("zh") != error.message("en")


def test_plain_words_of_an_extension_are_shown_as_they_are() -> None:
    assert str(UserError("Give me {a} file.")) == "Give me {a} file."


def test_kind_and_values_survive_the_process_border() -> None:
    error = LimitError("error.limit", field="steps", found=0, least=1, most=150)
    copy = UserError.from_dict(error.to_dict())
    assert type(copy) is LimitError
    assert str(copy) == str(error)


def test_an_unknown_kind_becomes_a_plain_error() -> None:
    assert type(UserError.from_dict({"kind": "Nonsense", "key": "x"})) is UserError
