"""The public link through a tunnel that is a real process, though not the real program."""

import hashlib
import os
import stat
import sys
import threading
import time
from http.client import BadStatusLine, IncompleteRead
from pathlib import Path

import pytest

from modules.errors import UserError
from modules.services import tunnel as tunnels
from modules.services.access import Exposure, Role
from modules.services.door import Door, WrongSecretError
from modules.services.reach import Reach
from modules.services.sharing import ShareState, Sharing
from modules.services.tunnel import Frpc, Server, ask_server, find_program, program_name

ADDRESS = "https://0123456789abcdef.gradio.live"
SERVER = Server("198.51.100.9", 7000, "-----BEGIN CERTIFICATE-----\n")
FAKE = """#!{python}
import json, os, sys, time
open({seen!r}, "w").write(json.dumps([sys.argv, dict(os.environ)]))
print("2026/11/29 [I] [service.go:1] login to server success", flush=True)
{rest}
"""


def program(tmp_path: Path, rest: str):
    """Something that speaks as frpc does, and then goes on with `rest`."""
    file = tmp_path / "frpc"
    seen = str(tmp_path / "seen.json")
    file.write_text(FAKE.format(python=sys.executable, seen=seen, rest=rest), encoding="utf-8")
    file.chmod(file.stat().st_mode | stat.S_IEXEC)
    return lambda folder: file


STAYS = f'print("[abc] start proxy success: {ADDRESS}", flush=True)\ntime.sleep(60)'


def frpc(tmp_path: Path, rest: str, seconds: float = 60.0) -> Frpc:
    return Frpc(
        tmp_path / "tunnel",
        server=lambda: SERVER,
        program=program(tmp_path, rest),
        seconds=seconds,
    )


def until(true, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def test_the_address_and_the_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import json

    monkeypatch.setenv("NOISETTE_TOKEN", "my-secret")
    tunnel = frpc(tmp_path, STAYS)
    assert tunnel.open(7861) == ADDRESS
    words, environment = json.loads((tmp_path / "seen.json").read_text(encoding="utf-8"))
    assert words[1] == "http"
    assert words[words.index("-l") + 1] == "7861"
    assert words[words.index("-i") + 1] == "127.0.0.1"
    assert words[words.index("--server_addr") + 1] == "198.51.100.9:7000"
    certificate = Path(words[words.index("--tls_trusted_ca_file") + 1])
    assert certificate.read_text(encoding="utf-8") == SERVER.certificate
    assert "--tls_enable" in words
    assert "my-secret" not in str(environment)
    tunnel.close()
    tunnel.close()
    assert tunnel._process.returncode is not None
    tunnel.wait()


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (
            'print("[E] login to server failed: EOF", flush=True)\ntime.sleep(60)',
            "login to server failed: EOF",
        ),
        ("sys.exit(1)", "login to server success"),
        (
            'print("start proxy success: javascript:alert(1)", flush=True)\ntime.sleep(60)',
            "no address",
        ),
    ],
)
def test_no_address(tmp_path: Path, rest: str, said: str):
    tunnel = frpc(tmp_path, rest)
    with pytest.raises(UserError, match=said):
        tunnel.open(7861)
    assert tunnel._process.poll() is not None


def test_a_tunnel_that_says_nothing_is_given_up(tmp_path: Path):
    tunnel = frpc(tmp_path, "time.sleep(60)", seconds=0.1)
    with pytest.raises(UserError):
        tunnel.open(7861)
    assert tunnel._process.poll() is not None


def test_one_that_talks_much_does_not_stand_still(tmp_path: Path):
    talk = 'for n in range(20000): print("x" * 100)\nsys.stdout.flush()\nopen("{}", "w").close()'
    tunnel = frpc(tmp_path, STAYS.replace("time.sleep(60)", talk.format(tmp_path / "done")))
    tunnel.open(7861)
    until(lambda: (tmp_path / "done").exists())
    tunnel.close()


@pytest.fixture
def door() -> Door:
    return Door(Exposure(shared=True))


@pytest.fixture
def reach() -> Reach:
    return Reach("127.0.0.1")


def test_the_link_lets_guests_in_until_it_is_ended(tmp_path: Path, door: Door, reach: Reach):
    told = []
    sharing = Sharing(frpc(tmp_path, STAYS), door, reach, hours=2, told=told.append)
    assert sharing.now.state is ShareState.OPENING
    sharing.start(7861)
    until(lambda: told)
    now = sharing.now
    assert now.state is ShareState.OPEN
    assert now.link.startswith(f"{ADDRESS}/login#")
    assert now.ends == pytest.approx(time.time() + 7200, abs=60)
    assert reach.is_ours("0123456789abcdef.gradio.live")
    secret = now.link.partition("#")[2]
    cookie, identity, _ = door.enter(secret, "x")
    assert identity.role is Role.GUEST
    ended = sharing.stop()
    assert ended.state is ShareState.STOPPED
    assert ended.link == ""
    assert not reach.is_ours("0123456789abcdef.gradio.live")
    assert door.session(cookie) is None
    with pytest.raises(WrongSecretError):
        door.enter(secret, "x")
    assert sharing.stop().state is ShareState.STOPPED
    until(lambda: len(told) == 2)
    time.sleep(0.05)
    assert [each.state for each in told] == [ShareState.OPEN, ShareState.STOPPED]


def test_it_ends_by_itself(tmp_path: Path, door: Door, reach: Reach):
    tunnel = frpc(tmp_path, STAYS)
    sharing = Sharing(tunnel, door, reach, hours=0.3 / 3600)
    sharing.start(7861)
    until(lambda: sharing.now.state is ShareState.EXPIRED)
    until(lambda: tunnel._process.poll() is not None)
    assert not reach.is_ours("0123456789abcdef.gradio.live")


def test_a_tunnel_that_breaks_is_said(tmp_path: Path, door: Door, reach: Reach):
    sharing = Sharing(frpc(tmp_path, STAYS.replace("60", "0.1")), door, reach, hours=1)
    sharing.start(7861)
    until(lambda: sharing.now.state is ShareState.LOST)
    assert not reach.is_ours("0123456789abcdef.gradio.live")


def test_without_a_network_everything_else_goes_on(door: Door, reach: Reach, tmp_path: Path):
    def offline() -> Server:
        raise UserError("error.share.offline", why="no route")

    told = []
    sharing = Sharing(Frpc(tmp_path, server=offline), door, reach, hours=1, told=told.append)
    sharing.start(7861)
    until(lambda: told)
    assert told[0].state is ShareState.FAILED
    assert "no route" in told[0].why.message("zh")
    assert door.enter(door.password, "x")[1].role is Role.GUEST
    sharing.close()


def test_stopped_while_it_opens(tmp_path: Path, door: Door, reach: Reach):
    ready, go = threading.Event(), threading.Event()

    def slow() -> Server:
        ready.set()
        go.wait(20)
        return SERVER

    tunnel = Frpc(tmp_path / "t", server=slow, program=program(tmp_path, STAYS))
    told = []
    sharing = Sharing(tunnel, door, reach, hours=1, told=told.append)
    sharing.start(7861)
    ready.wait(20)
    assert sharing.stop().state is ShareState.STOPPED
    go.set()
    time.sleep(0.1)
    assert tunnel._process is None
    assert [each.state for each in told] == [ShareState.STOPPED]
    assert not reach.is_ours("0123456789abcdef.gradio.live")


# ------------------------------------------------------------------------------------------- the program


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> bytes:
    data = b"the program"
    monkeypatch.setitem(tunnels.SHA256, program_name(), hashlib.sha256(data).hexdigest())
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return data


class Answer:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, most: int) -> bytes:
        return self.data[:most]

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None: ...


def test_the_program_is_fetched_checked_and_kept(known: bytes, tmp_path: Path, monkeypatch):
    fetched = []
    monkeypatch.setattr(tunnels, "_fetch", lambda url: fetched.append(url) or Answer(known))
    path = find_program(tmp_path / "tunnel")
    assert path.read_bytes() == known
    assert os.access(path, os.X_OK)
    assert find_program(tmp_path / "tunnel") == path
    assert len(fetched) == 1
    assert fetched[0].startswith("https://")


def test_another_program_is_not_run(known: bytes, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tunnels, "_fetch", lambda url: Answer(b"malware"))
    with pytest.raises(UserError, match="not the known one"):
        find_program(tmp_path / "tunnel")
    assert not (tmp_path / "tunnel" / program_name()).exists()
    # Also one that lies there already: Gradio itself would not look.
    place = tmp_path / "hf" / "gradio" / "frpc" / f"{program_name()}_v0.3"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"malware")
    with pytest.raises(UserError, match="not the known one"):
        find_program(tmp_path / "tunnel")
    place.write_bytes(known)
    assert find_program(tmp_path / "tunnel") == place


def test_what_the_system_says_is_said(known: bytes, tmp_path: Path, monkeypatch):
    def refuse(url: str):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(tunnels, "_fetch", refuse)
    with pytest.raises(UserError, match="cannot be fetched"):
        find_program(tmp_path / "tunnel")
    with pytest.raises(UserError, match="cannot be reached"):
        ask_server()
    monkeypatch.setattr("platform.machine", lambda: "sparc")
    with pytest.raises(UserError, match="no tunnel program for this system"):
        find_program(tmp_path / "tunnel")


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'[{"host": "x"}]', b"<html>", b'[{"host":1,"port":"x","root_ca":""}]'],
)
def test_odd_answers_of_the_server(monkeypatch, body: bytes):
    monkeypatch.setattr(tunnels, "_fetch", lambda url: Answer(body))
    with pytest.raises(UserError, match="its answer is none"):
        ask_server()


def test_a_good_answer_of_the_server(monkeypatch):
    body = b'[{"host": "198.51.100.9", "port": "7000", "root_ca": "pem"}]'
    monkeypatch.setattr(tunnels, "_fetch", lambda url: Answer(body))
    assert ask_server() == Server("198.51.100.9", 7000, "pem")


@pytest.mark.parametrize("broken", [IncompleteRead(b""), BadStatusLine("nonsense")])
def test_an_answer_that_breaks_off_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Exception
):
    """What `http.client` raises then is no OSError; the link would be opening for ever."""

    def fetch(address: str):
        raise broken

    monkeypatch.setattr(tunnels, "_fetch", fetch)
    monkeypatch.setattr(tunnels, "_gradios", lambda name: iter(()))
    with pytest.raises(UserError, match="its answer is none"):
        ask_server()
    if program_name() in tunnels.SHA256:
        with pytest.raises(UserError, match="its answer is none"):
            find_program(tmp_path)
