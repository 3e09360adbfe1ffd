"""The public link over HTTP: what comes through the tunnel, and the owner's panel."""

import re

import pytest
from starlette.testclient import TestClient

from modules.api.server import create_app
from modules.plugins.manager import Plugins
from modules.services.access import Exposure
from modules.services.door import Door
from modules.services.reach import Reach
from modules.services.sharing import ShareState, Sharing
from modules.settings import Settings
from modules.ui.shell import build_page
from tests.services.test_sharing import until
from tests.ui.fake_studio import FakeStudio

NAME = "0123456789abcdef.gradio.live"


class FakeTunnel:
    """A tunnel that leads nowhere."""

    def __init__(self) -> None:
        import threading

        self.gone = threading.Event()

    def open(self, port: int) -> str:
        return f"https://{NAME}"

    def wait(self) -> None:
        self.gone.wait(60)

    def close(self) -> None:
        self.gone.set()


@pytest.fixture
def through(tmp_path):
    """Makes clients of a shared program by the host that they ask for; and what the program is made of."""
    studio = FakeStudio(tmp_path, seconds_per_step=0.0)
    settings = Settings(data_dir=tmp_path, share=True)
    door, reach = Door(Exposure(shared=True)), Reach("127.0.0.1")
    sharing = Sharing(FakeTunnel(), door, reach, hours=1)
    page = build_page(studio, Plugins.load(tmp_path / "extensions"), "0.1.0")
    app = create_app(studio, page, settings, door=door, reach=reach, sharing=sharing)

    def client(host: str) -> TestClient:
        scheme = "https" if host == NAME else "http"
        return TestClient(
            app, base_url=f"{scheme}://{host}", client=("127.0.0.1", 5000), follow_redirects=False
        )

    yield client, sharing, door
    sharing.close()
    studio.close()


def test_the_whole_way(through):
    client, sharing, door = through
    friend, owner = client(NAME), client("127.0.0.1:7860")
    assert friend.get("/healthz").status_code == 421  # nobody said yet that this name is ours
    sharing.start(7860)
    until(lambda: sharing.now.state is ShareState.OPEN)
    assert friend.get("/", headers={"accept": "text/html"}).headers["location"] == "/login"
    secret = sharing.now.link.partition("#")[2]
    origin = {"origin": f"https://{NAME}"}
    answer = friend.post("/login", data={"secret": secret}, headers=origin)
    assert answer.status_code == 303
    assert "Secure" in answer.headers["set-cookie"]
    assert friend.get("/").status_code == 200
    told = friend.get("/ui/access").json()
    assert told["role"] == "guest"
    assert "share" not in told
    for method, path in (("GET", "state"), ("GET", "qr.svg"), ("POST", "stop")):
        assert friend.request(method, f"/ui/share/{path}", headers=origin).status_code == 403
    # The owner sits at the machine, and shows the key all the same.
    assert owner.get("/ui/share/state").status_code == 401
    owner.post("/login", data={"secret": door.owner_key})
    assert owner.get("/ui/access").json()["share"]["state"] == "open"
    state = owner.get("/ui/share/state").json()
    assert state["link"] == sharing.now.link
    code = owner.get("/ui/share/qr.svg")
    assert code.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in code.headers["content-security-policy"]
    assert re.search(r"<svg[^>]*>.*<path", code.text)
    assert secret not in code.text
    ended = owner.post("/ui/share/stop").json()
    assert ended["state"] == "stopped"
    assert ended["link"] == ""
    assert friend.get("/ui/access").status_code == 421
    assert owner.get("/ui/share/qr.svg").status_code == 404
    assert owner.get("/ui/share/state").json()["state"] == "stopped"


def test_the_code_is_of_the_link(through):
    import segno

    client, sharing, door = through
    sharing.start(7860)
    until(lambda: sharing.now.state is ShareState.OPEN)
    owner = client("127.0.0.1:7860")
    owner.post("/login", data={"secret": door.owner_key})
    drawn = re.search(r'class="qrline"[^>]* d="([^"]+)"', owner.get("/ui/share/qr.svg").text).group(
        1
    )
    expected = segno.make(sharing.now.link, error="m").svg_inline(scale=4, border=4)
    assert drawn in expected
    other = segno.make(sharing.now.link + "x", error="m").svg_inline(scale=4, border=4)
    assert drawn not in other


def test_nothing_is_shared_without_being_asked(owner: TestClient):
    assert owner.get("/ui/access").json()["share"] is None
    assert owner.get("/ui/share/state").status_code == 404
