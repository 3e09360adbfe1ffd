"""Drafts come back, stay small, and are forgotten when asked to be or in time."""

import pytest

from modules.errors import LimitError, StorageError
from modules.services import drafts as limits
from modules.services.drafts import Drafts

DAY = 86_400.0


class Clock:
    """A time that tests set."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def drafts(tmp_path, clock):
    drafts = Drafts(tmp_path / "data" / "drafts.sqlite3", clock)
    yield drafts
    drafts.close()


def test_there_and_back_also_after_a_restart(drafts, tmp_path, clock):
    typed = {"prompt": "苹果 x", "steps": 20, "cfg_scale": 2.5, "enabled": True, "model": None}
    drafts.keep("me", "txt2img", typed)
    drafts.keep("me", "txt2img", {**typed, "steps": 30})
    drafts.close()
    again = Drafts(tmp_path / "data" / "drafts.sqlite3", clock)
    assert again.load("me", "txt2img") == {**typed, "steps": 30}
    assert again.load("me", "img2img") == {}
    assert again.load("you", "txt2img") == {}
    again.close()


def test_a_cleared_one_is_gone(drafts, tmp_path):
    drafts.keep("me", "txt2img", {"prompt": "a secret wish"})
    drafts.keep("me", "img2img", {"prompt": "kept"})
    drafts.clear("me", "txt2img")
    assert drafts.load("me", "txt2img") == {}
    assert drafts.load("me", "img2img") == {"prompt": "kept"}


def test_without_any_draft_there_is_no_file(drafts, tmp_path):
    assert drafts.load("me", "txt2img") == {}
    drafts.clear("me", "txt2img")
    assert list(tmp_path.iterdir()) == []


def test_a_large_one_is_refused_and_the_old_one_stays(drafts):
    drafts.keep("me", "txt2img", {"prompt": "small"})
    with pytest.raises(LimitError, match=str(limits.MAX_BYTES)):
        drafts.keep("me", "txt2img", {"prompt": "苹" * (limits.MAX_BYTES // 3)})
    assert drafts.load("me", "txt2img") == {"prompt": "small"}


def test_nobody_keeps_many(drafts, clock, monkeypatch):
    for number in range(limits.MAX_TABS + 2):
        clock.now += 1
        drafts.keep("me", f"tab{number}", {"number": number})
    assert drafts.load("me", "tab1") == {}
    assert drafts.load("me", "tab2") == {"number": 2}
    monkeypatch.setattr(limits, "MAX_DRAFTS", 3)
    for visitor in ("a", "b", "c"):
        clock.now += 1
        drafts.keep(visitor, "txt2img", {"prompt": visitor})
    assert drafts.load("me", "tab9") == {}
    assert drafts.load("a", "txt2img") == {"prompt": "a"}


def test_old_ones_go(drafts, clock):
    drafts.keep("me", "txt2img", {"prompt": "old"})
    clock.now += (limits.MAX_DAYS + 1) * DAY
    assert drafts.load("me", "txt2img") == {}


def test_a_disk_that_refuses_says_so(tmp_path):
    (tmp_path / "data").write_text("in the way")
    drafts = Drafts(tmp_path / "data" / "drafts.sqlite3")
    with pytest.raises(StorageError, match="a file where a folder is needed"):
        drafts.keep("me", "txt2img", {})
