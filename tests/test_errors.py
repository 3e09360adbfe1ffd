"""Errors speak both languages and cross a process border unharmed."""

import errno
import socket

import pytest

from modules.errors import LimitError, UserError, reason


def test_both_languages_say_what_was_found() -> None:
    error = LimitError("error.limit", field="steps", found=0, least=1, most=150)
    assert str(error).startswith("Steps is 0;")
    assert error.message("zh").startswith("“步数”为 0，")
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


def test_a_reason_within_a_message_is_in_its_language_and_crosses_the_border() -> None:
    error = UserError("error.storage.other", path="/x", why=UserError("why.os.in_the_way"))
    copy = UserError.from_dict(error.to_dict())
    assert "there is a file where a folder is needed" in str(copy)
    assert "需要文件夹的位置上有一个文件" in copy.message("zh")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileExistsError(errno.EEXIST, "File exists", "/secret/x"), "a file where a folder"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "may not be read or written"),
        (OSError(errno.EIO, "Input/output error"), "the disk reports an error"),
        (OSError(errno.EXDEV, "Invalid cross-device link", "/x"), "Invalid cross-device link"),
        (socket.gaierror(-2, "Name or service not known"), "no machine of that name"),
        (OSError("out of luck"), "out of luck"),
        (OSError(), "OSError"),
    ],
)
def test_what_the_system_says_has_no_numbers_and_paths(error: OSError, said: str) -> None:
    text = str(reason(error))
    assert said in text
    assert "Errno" not in text
    assert "/" not in text
