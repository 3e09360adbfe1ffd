"""Who is let in, and how long those wait who guess."""

import json
from pathlib import Path

import pytest

from modules.errors import UserError
from modules.services.access import Exposure, Role
from modules.services.door import SESSION_SECONDS, Door, LockedOutError, WrongSecretError
from modules.services.passes import Passes

WIDE = Exposure("0.0.0.0")
PASSWORD = "hazel nuts for all"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def passes(tmp_path: Path, clock: Clock) -> Passes:
    return Passes(tmp_path / "data" / "tokens.json", clock)


@pytest.fixture
def door(passes: Passes, clock: Clock) -> Door:
    return Door(WIDE, password=PASSWORD, passes=passes, clock=clock)


def test_a_password_lets_guests_in_and_the_key_the_owner(door: Door):
    cookie, identity, _ = door.enter(PASSWORD, "here")
    assert identity.role is Role.GUEST
    assert door.session(cookie) == identity
    other, again, _ = door.enter(PASSWORD, "here")
    assert other != cookie
    assert again.name != identity.name  # two guests are two
    assert door.enter(door.owner_key, "here")[1].role is Role.OWNER


@pytest.mark.parametrize(
    "secret", ["", "x", PASSWORD[:-1], PASSWORD + " ", "y" * 100_000, "\ud800"]
)
def test_nothing_else_does(door: Door, secret: str):
    with pytest.raises(WrongSecretError):
        door.enter(secret, "here")
    with pytest.raises(WrongSecretError):
        door.bearer(secret, "here")


def test_a_session_ends(door: Door, clock: Clock):
    cookie, _, seconds = door.enter(PASSWORD, "here")
    assert seconds == SESSION_SECONDS
    clock.now += SESSION_SECONDS - 1
    assert door.session(cookie)
    clock.now += 1
    assert door.session(cookie) is None


def test_logging_out_ends_it_at_once(door: Door):
    cookie, _, _ = door.enter(PASSWORD, "here")
    door.leave(cookie)
    assert door.session(cookie) is None
    assert door.session("made up") is None


def test_a_made_password_is_long_and_another_each_time():
    first, second = Door(WIDE), Door(WIDE)
    assert first.made
    assert first.password != second.password
    assert len(first.password.replace("-", "")) == 16
    assert not Door(WIDE, password=PASSWORD).made


def test_a_short_password_is_refused():
    with pytest.raises(UserError, match="at least 8"):
        Door(WIDE, password="1234567")


def test_whoever_guesses_waits_longer_and_longer(door: Door, clock: Clock):
    waits = []
    for _ in range(16):
        try:
            door.enter("guess", "there")
        except LockedOutError as error:
            waits.append(error.seconds)
            with pytest.raises(LockedOutError):
                door.enter(PASSWORD, "there")  # the right one is not told apart
            clock.now += error.seconds
        except WrongSecretError:
            pass
    assert waits[:4] == [1, 2, 4, 8]
    assert waits == sorted(waits)
    assert max(waits) <= 300
    door.enter(PASSWORD, "elsewhere")
    door.enter(PASSWORD, "there")  # the wait is over, and forgotten
    with pytest.raises(WrongSecretError):
        door.enter("guess", "there")
    with pytest.raises(WrongSecretError):
        door.enter("guess", "there")


def test_nobody_locks_the_owner_out(door: Door, passes: Passes):
    secret = passes.add("bot")
    for _ in range(20):
        with pytest.raises((WrongSecretError, LockedOutError)):
            door.bearer("guess", "tunnel")
    assert door.enter(door.owner_key, "tunnel")[1].role is Role.OWNER
    assert door.bearer(secret, "tunnel").role is Role.GUEST
    with pytest.raises(LockedOutError):
        door.enter(PASSWORD, "tunnel")


def test_the_list_of_those_who_wait_is_bounded(door: Door):
    for number in range(5000):
        with pytest.raises(WrongSecretError):
            door.enter("guess", f"source {number}")
    assert len(door._failures) <= 4096


def test_an_invitation_ends_and_takes_its_guests_with_it(door: Door, clock: Clock):
    secret = door.invite(3600)
    cookie, identity, seconds = door.enter(secret, "here")
    assert identity.role is Role.GUEST
    assert seconds == 3600
    stays, _, _ = door.enter(PASSWORD, "here")
    clock.now += 3601
    assert door.session(cookie) is None
    with pytest.raises(WrongSecretError):
        door.enter(secret, "here")
    again = door.invite(3600)
    cookie, _, _ = door.enter(again, "here")
    door.uninvite()
    assert door.session(cookie) is None
    with pytest.raises(WrongSecretError):
        door.enter(again, "here")
    assert door.session(stays)


def test_callers_with_the_password_are_told_apart_by_their_name(door: Door):
    names = {door.bearer(PASSWORD, "x", user).name for user in ("anna", "bert", "anna")}
    assert len(names) == 2
    assert not any("anna" in name for name in names)


def test_a_token_outlasts_the_run(door: Door, passes: Passes, clock: Clock, tmp_path: Path):
    secret = passes.add("bot", days=2)
    mine = passes.add("phone", owner=True)
    later = Door(WIDE, passes=Passes(tmp_path / "data" / "tokens.json", clock), clock=clock)
    assert later.bearer(secret, "x").name == "token-bot"
    assert later.bearer(mine, "x").role is Role.OWNER
    cookie, _, _ = later.enter(mine, "x")
    clock.now += 2 * 86_400 + 1
    with pytest.raises(WrongSecretError):
        later.bearer(secret, "x")
    passes.remove("phone")  # by the command line, while the server runs
    assert later.session(cookie) is None
    with pytest.raises(WrongSecretError):
        later.bearer(mine, "x")


def test_the_file_of_tokens_gives_nothing_away(passes: Passes, tmp_path: Path):
    secret = passes.add("bot")
    file = tmp_path / "data" / "tokens.json"
    assert secret not in file.read_text(encoding="utf-8")
    assert secret.removeprefix("noisette_") not in file.read_text(encoding="utf-8")
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 41, "x\n"])
def test_names_of_tokens(passes: Passes, name: str):
    with pytest.raises(UserError, match="no name for a token"):
        passes.add(name)


def test_two_tokens_have_two_names(passes: Passes):
    passes.add("bot")
    with pytest.raises(UserError, match="already"):
        passes.add("bot")
    with pytest.raises(UserError, match="There are: bot"):
        passes.remove("bat")


@pytest.mark.parametrize("text", ["{", "[1]", '[{"name": "x"}]', "\u0000"])
def test_a_broken_file_lets_nobody_in(passes: Passes, door: Door, tmp_path: Path, text: str):
    secret = passes.add("bot")
    (tmp_path / "data" / "tokens.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="cannot be read"):
        door.bearer(secret, "x")
    assert door.enter(PASSWORD, "x")


def test_a_token_of_another_size_is_read_anew(passes: Passes, tmp_path: Path):
    passes.add("a")
    rows = json.loads((tmp_path / "data" / "tokens.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in rows] == [each.name for each in passes.all()] == ["a"]
