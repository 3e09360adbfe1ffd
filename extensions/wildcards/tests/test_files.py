"""The lists' folder: one's own go before those that come along, and nothing leads out of it."""

import os

import pytest

from extensions.wildcards.files import MAX_BYTES, Lists
from modules.errors import UserError


@pytest.fixture
def lists(tmp_path):
    shipped = tmp_path / "shipped"
    (shipped / "animals").mkdir(parents=True)
    (shipped / "colours.txt").write_text("# a note\nred\n\n2::green\n", encoding="utf-8")
    (shipped / "animals" / "birds.txt").write_text("owl\n", encoding="utf-8")
    (shipped / "animals" / "fish.txt").write_text("carp\nshark\n", encoding="utf-8")
    return Lists(tmp_path / "data" / "lists", shipped)


def texts(options):
    return ["".join(option.text) for option in options]


def test_names_and_lines(lists):
    assert lists.names() == ("animals/birds", "animals/fish", "colours")
    assert [(option.weight, "".join(option.text)) for option in lists.lines("colours")] == [
        (1.0, "red"),
        (2.0, "green"),
    ]


def test_a_star_stands_for_several(lists):
    assert texts(lists.lines("animals/*")) == ["owl", "carp", "shark"]


def test_own_lists_go_before_and_can_be_deleted(lists):
    assert lists.save(" colours ", "black\r\n3::white") == 2
    assert texts(lists.lines("colours")) == ["black", "white"]
    assert lists.text("colours") == "black\n3::white"
    lists.delete("colours")
    assert texts(lists.lines("colours")) == ["red", "green"]
    with pytest.raises(UserError, match="comes along"):
        lists.delete("colours")


def test_a_new_folder(lists):
    lists.save("my/own/things", "one")
    assert "my/own/things" in lists.names()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "/etc/passwd",
        "a/../../b",
        "a\\b",
        "x" * 61,
        "a/b/c/d/e",
        "a.txt",
        "con:1",
        "a\0",
    ],
)
def test_names_that_lead_away_are_refused(lists, name):
    with pytest.raises(UserError, match="cannot be the name"):
        lists.save(name, "x")
    with pytest.raises(UserError):
        lists.text(name)


def test_a_link_is_no_list(lists, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    lists.own.mkdir(parents=True)
    os.symlink(secret, lists.own / "link.txt")
    assert "link" not in lists.names()
    with pytest.raises(UserError, match="no list"):
        lists.text("link")


@pytest.mark.parametrize(
    "name, words", [("nothing", "no list 'nothing'"), ("no*thing", "nothing to draw from")]
)
def test_a_list_that_is_not_there(lists, name, words):
    with pytest.raises(UserError, match=words.replace("*", ".")):
        lists.lines(name)


def test_a_list_without_a_line(lists):
    lists.save("empty", "# only a note\n\n")
    with pytest.raises(UserError, match="nothing to draw from 'empty'"):
        lists.lines("empty")


def test_a_wrong_line_is_named_and_nothing_is_written(lists):
    with pytest.raises(UserError, match="Line 2 of the list 'bad'") as caught:
        lists.save("bad", "fine\n{not closed")
    assert "第 2 行" in caught.value.message("zh")
    assert "bad" not in lists.names()


def test_what_is_no_text_or_too_large(lists):
    lists.own.mkdir(parents=True)
    (lists.own / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match="UTF-8"):
        lists.text("latin")
    (lists.own / "large.txt").write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(UserError, match="larger"):
        lists.text("large")
    with pytest.raises(UserError, match="larger"):
        lists.save("larger", "x" * (MAX_BYTES + 1))


def test_a_disk_that_refuses(lists, tmp_path):
    (tmp_path / "data").write_text("a file where the folder would be")
    with pytest.raises(UserError, match="could not be saved"):
        lists.save("x", "y")
