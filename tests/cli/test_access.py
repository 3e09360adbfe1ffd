"""The command line about others: options of `serve`, and `noisette token`."""

import json
import stat
from pathlib import Path

import pytest

from modules import cli
from modules.cli.access import PASSWORD, door_for, opening_file, owner_link, told
from modules.cli.parser import parser
from modules.cli.run import Run
from modules.errors import UserError
from modules.services.access import Exposure, Role
from modules.services.passes import Passes
from modules.settings import Settings

WIDE = Exposure("0.0.0.0")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modules.cli.access._own_address", lambda: "192.168.1.5")


def run(tmp_path: Path, *words: str, language: str = "en") -> Run:
    options = parser(language).parse_args(["serve", "--data-dir", str(tmp_path), *words])
    given = {name: vars(options).get(name) for name in Settings.model_fields}
    return Run(options, Settings.load({**given, "language": language}, {}))


def test_listen_is_host_everywhere(tmp_path: Path):
    assert run(tmp_path, "--listen").settings.host == "0.0.0.0"
    assert run(tmp_path).settings.host == "127.0.0.1"


def test_names_of_proxies(tmp_path: Path):
    names = run(tmp_path, "--allow-host", "a.example", "--allow-host", "b.example").settings
    assert names.allowed_hosts == ("a.example", "b.example")
    env = Settings.load({"data_dir": tmp_path}, {"NOISETTE_ALLOWED_HOSTS": "a.example, b.example"})
    assert env.allowed_hosts == names.allowed_hosts


def test_without_one_a_password_is_made_and_shown_once(tmp_path: Path):
    here = run(tmp_path, "--listen")
    door = door_for(here, WIDE, {})
    text = told(here, door, "http://127.0.0.1:7860/", "0.0.0.0")
    assert text.count(door.password) == 1
    assert f"http://127.0.0.1:7860/login#{door.owner_key}" in text
    assert "Others reach it at http://192.168.1.5:7860/" in text
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_a_given_password_is_not_shown(tmp_path: Path):
    here = run(tmp_path, "--listen", language="zh")
    environ = {PASSWORD: "hazel nuts for all"}
    door = door_for(here, WIDE, environ)
    assert door.password == "hazel nuts for all"
    assert environ == {}, "what is started from here would inherit it"
    assert "hazel" not in told(here, door, "http://127.0.0.1:7860/", "0.0.0.0")


def test_a_password_from_a_file(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text("hazel nuts for all\nnot this\n", encoding="utf-8")
    here = run(tmp_path, "--password-file", str(file))
    assert door_for(here, WIDE, {PASSWORD: "other words"}).password == "hazel nuts for all"
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(UserError, match="is empty"):
        door_for(here, WIDE, {})
    file.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        door_for(here, WIDE, {})


def test_a_password_is_asked_for_and_is_no_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("getpass.getpass", lambda text: "typed words")
    assert door_for(run(tmp_path, "--password"), WIDE, {}).password == "typed words"
    with pytest.raises(UserError):
        run(tmp_path, "--password=typed-words")


def test_a_short_password_stops_the_start(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(PASSWORD, "short")
    assert cli.main(["serve", "--listen", "--data-dir", str(tmp_path), "--no-open"]) == 2
    assert "at least 8" in capsys.readouterr().err


def test_the_browser_is_led_by_a_file_of_ones_own(tmp_path: Path):
    door = door_for(run(tmp_path), WIDE, {})
    file = opening_file(tmp_path / "data", owner_link(door, "http://127.0.0.1:7860/"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert door.owner_key in file.read_text(encoding="utf-8")
    assert door.owner_key not in file.as_uri()


def test_tokens(tmp_path: Path, capsys):
    here = ["--data-dir", str(tmp_path)]
    assert cli.main(["token", *here]) == 0
    assert "no tokens" in capsys.readouterr().out
    assert cli.main(["token", "add", "bot", "--days", "2", *here]) == 0
    secret = capsys.readouterr().out.strip()
    assert Passes(tmp_path / "data" / "tokens.json").find(secret).role is Role.GUEST
    assert cli.main(["token", "add", "phone", "--owner", *here]) == 0
    mine = capsys.readouterr().out.strip()
    assert Passes(tmp_path / "data" / "tokens.json").find(mine).role is Role.OWNER
    assert cli.main(["token", "list", "--json", *here]) == 0
    text = capsys.readouterr().out
    assert secret not in text
    rows = json.loads(text)
    assert [(row["name"], row["role"]) for row in rows] == [("bot", "guest"), ("phone", "owner")]
    assert rows[0]["ends"] > rows[0]["created"]
    assert cli.main(["token", *here]) == 0
    assert "phone\towner\t-" in capsys.readouterr().out
    assert cli.main(["token", "remove", "bot", *here]) == 0
    assert Passes(tmp_path / "data" / "tokens.json").find(secret) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add"], "Say which"),
        (["remove", "nobody"], "no token nobody"),
        (["add", "a b"], "no name for a token"),
        (["add", "bot", "--days", "0"], "more than 0"),
    ],
)
def test_wrong_words(tmp_path: Path, capsys, words: list[str], said: str):
    assert cli.main(["token", *words, "--data-dir", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
