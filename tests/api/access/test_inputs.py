"""A guest's input pictures are his: by no door does another guest get at them, or learn that they are there."""

import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.testclient import TestClient

from modules.api.server import create_app
from modules.schema.guests import GuestLimits
from modules.services.access import Exposure
from modules.services.door import Door
from modules.services.passes import Passes
from modules.services.reach import Reach
from modules.settings import Settings
from modules.ui.shell import Page, build_page
from tests.api.v1.conftest import Here, b64, build, shut

PASSWORD = "hazel nuts for all"
HOST = "192.168.1.5:7860"
NOBODYS = "0123456789abcdef" * 4
MANY = GuestLimits(
    jobs_waiting=1000,
    pictures_per_hour=10_000,
    pictures_per_day=10_000,
    all_jobs_waiting=10_000,
    all_pictures_per_day=100_000,
    megabytes_per_hour=10_000,
)
WORDS = {"prompt": "a fig", "steps": 1, "width": 64, "height": 64}


@dataclass
class Open:
    """A whole installation that others can reach: its queue, its page and its extensions are the real ones."""

    here: Here
    app: Any
    page: Page
    door: Door
    token: str
    clients: list[TestClient] = field(default_factory=list)

    def client(self, secret: str = PASSWORD, **headers: str) -> TestClient:
        made = TestClient(
            self.app,
            base_url=f"http://{HOST}",
            client=(f"192.168.1.{len(self.clients) + 10}", 5000),
            headers=headers,
            raise_server_exceptions=False,
            follow_redirects=False,
        )
        self.clients.append(made)
        if secret:
            assert made.post("/login", data={"secret": secret}).status_code == 303
            assert made.get("/").status_code == 200  # it gives the visitor's cookie
        return made


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    import torch  # noqa: F401  # whole before a thread of the queue needs it, as each test seeds what is there

    root = tmp_path_factory.mktemp("open")
    here = build(root, ("controlnet", "grid", "upscaler", "frame"), guests=MANY)
    settings = Settings(data_dir=root, host="0.0.0.0", guests=MANY)
    passes = Passes(root / "data" / "tokens.json")
    token = passes.add("bot")
    door = Door(Exposure("0.0.0.0"), password=PASSWORD, passes=passes)
    page = build_page(here.studio, here.plugins, "0.1.0")
    app = create_app(
        here.studio, page, settings, plugins=here.plugins, door=door, reach=Reach("0.0.0.0")
    )
    for bucket in (app._gate._requests, app._gate._megabytes):
        bucket.burst = bucket.per_second = 1e9
    made = Open(here, app, page, door, token)
    with TestClient(app, base_url=f"http://{HOST}"):  # Gradio's queue starts with the application
        yield made
    for client in made.clients:
        client.close()
    shut(here)


@pytest.fixture(scope="module")
def anna(opened: Open) -> TestClient:
    return opened.client()


@pytest.fixture(scope="module")
def bert(opened: Open) -> TestClient:
    return opened.client()


@pytest.fixture(scope="module")
def owner(opened: Open) -> TestClient:
    return opened.client(opened.door.owner_key)


def png(colour: Any) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(data, "PNG")
    return data.getvalue()


def hand_in(client: TestClient, data: bytes) -> str:
    answer = client.post("/ui/inputs", content=data)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


HERS = png((200, 30, 40))


@pytest.fixture(scope="module")
def hers(anna: TestClient) -> str:
    return hand_in(anna, HERS)


def ended(opened: Open, number: int) -> Any:
    until = time.monotonic() + 300
    while not (job := opened.here.studio.job(number)).state.finished:
        assert time.monotonic() < until, job
        time.sleep(0.02)
    return job


# ------------------------------------------------------------------------------------------- every door


def on_the_page(opened: Open, tab: str, **values: Any) -> Callable[[TestClient], Any]:
    """The tab's own function, called over HTTP with these values."""

    def ask(client: TestClient) -> Any:
        config = client.get("/config").json()
        row = next(each for each in config["dependencies"] if each["api_name"] == tab)
        function = opened.page.blocks.fns[row["id"]]
        names = dict(zip(row["inputs"], function.input_keyword_names, strict=True))
        given = {each["id"]: each["props"].get("value") for each in config["components"]}
        assert set(values) <= set(names.values()), set(values) - set(names.values())
        data = [values.get(name, given[number]) for number, name in names.items()]
        body = {"data": data, "fn_index": row["id"], "session_hash": "x"}
        return client.post("/gradio_api/run/predict", json=body)

    return ask


def posted(path: str, **body: Any) -> Callable[[TestClient], Any]:
    return lambda client: client.post(path, json=body)


def unit(**fields: Any) -> dict[str, Any]:
    """With a weight of 0 it needs no model, and it is in the request all the same."""
    return {"enabled": True, "module": "none", "weight": 0, **fields}


def doors(opened: Open, own: str) -> dict[str, Callable[[str], Callable[[TestClient], Any]]]:
    """How a picture is named, each by its number; `own` is one that the caller has handed in himself."""
    jobs = "/api/v2/jobs"

    def steers(**fields: Any) -> Callable[[TestClient], Any]:
        extras = {"controlnet": {"enabled": True, "units": [unit(image=own), unit(**fields)]}}
        return posted(jobs, **WORDS, extras=extras)

    def grid(**options: Any) -> Callable[[TestClient], Any]:
        return posted(jobs, **WORDS, extras={"grid": {"enabled": True, **options}})

    return {
        "show": lambda name: lambda client: client.get(f"/ui/inputs/{name}"),
        "postprocess": lambda name: posted(
            "/ui/postprocess",
            pictures=[{"image": own}, {"image": name}],
            extras={"frame": {"enabled": True}},
        ),
        "v2 image": lambda name: posted(jobs, **WORDS, img2img={"image": name}),
        "v2 mask": lambda name: posted(
            jobs, **WORDS, img2img={"image": own, "inpaint": {"mask": name}}
        ),
        "v2 postprocess": lambda name: posted(
            jobs, postprocess={"image": name}, extras={"frame": {"enabled": True}}
        ),
        "v2 control": lambda name: steers(image=name),
        "v2 control mask": lambda name: steers(image=own, mask_image=name),
        "v2 control that is off": lambda name: posted(
            jobs, **WORDS, extras={"controlnet": {"units": [unit(image=name, enabled=False)]}}
        ),
        "v2 text of an extension": lambda name: posted(
            jobs, **WORDS, extras={"frame": {"enabled": True, "text": f"see\f{name}\x0c"}}
        ),
        "v2 grid's values": lambda name: grid(x="prompt_sr", x_values=f"fig, {own}, {name}"),
        "v2 grid's prompts": lambda name: grid(mode="prompts", prompts=f"a fig\n{name}"),
        "v1 script": lambda name: posted(
            "/sdapi/v1/txt2img",
            **WORDS,
            alwayson_scripts={"frame": {"args": [{"enabled": True, "text": name}]}},
        ),
        "page image": lambda name: on_the_page(opened, "img2img", img2img__image=name),
        "page size": lambda name: on_the_page(
            opened, "img2img", img2img__image=name, resize__way="by", resize__scale=2
        ),
        "page mask": lambda name: on_the_page(
            opened, "img2img", img2img__image=own, img2img__mode="inpaint", inpaint__mask=name
        ),
        "page batch": lambda name: on_the_page(
            opened,
            "img2img",
            img2img__mode="batch",
            batch__images=json.dumps([{"name": "a.png", "id": name}, {"name": "b.png", "id": own}]),
        ),
        "page batch mask": lambda name: on_the_page(
            opened,
            "img2img",
            img2img__mode="batch",
            batch__images=json.dumps([{"name": "a.png", "id": own}]),
            batch__masks=json.dumps([{"name": "a.png", "id": name}]),
        ),
        "page control": lambda name: on_the_page(
            opened,
            "txt2img",
            controlnet__units=[unit(image=name)],
        ),
    }


DOORS = tuple(doors(None, ""))  # type: ignore[arg-type]


def said(answer: Any, name: str) -> tuple[int, str]:
    """The answer, whatever the number is that was asked for."""
    if answer.headers["content-type"] == "image/png":
        return answer.status_code, "a picture"
    told = answer.json()
    if "data" in told:  # a function of the page: how long it took is not said, nor when
        told = [{key: value for key, value in each.items() if key != "at"} for each in told["data"]]
    known = json.dumps(told, sort_keys=True).replace(name, "…").replace(name[:12], "…")
    return answer.status_code, known


def good(answer: Any) -> bool:
    """Whether it is what was asked for."""
    if answer.headers["content-type"] == "image/png":
        return answer.status_code == 200
    told = answer.json()
    if "data" in told:  # a function of the page
        return told["data"][0]["kind"] == "submitted"
    return answer.status_code in (200, 202)


@pytest.mark.parametrize("door", DOORS)
def test_somebody_elses_is_as_if_it_did_not_exist(
    opened: Open, anna: TestClient, bert: TestClient, owner: TestClient, hers: str, door: str
):
    own = hand_in(bert, png((1, 2, 3)))
    ask = doors(opened, own)[door]
    before = sum(opened.here.studio.counts().values())
    nothing, theft = said(ask(NOBODYS)(bert), NOBODYS), said(ask(hers)(bert), hers)
    assert theft == nothing
    assert "is not here any more" in nothing[1], "it is refused, and for that reason"
    assert sum(opened.here.studio.counts().values()) == before, "nothing is queued"
    # His own goes through the same door.
    mine = ask(own)(bert)
    assert good(mine), mine.text
    # And hers is open to herself and to the owner.
    for client in (anna, owner):
        theirs = doors(opened, hers)[door](hers)(client)
        assert good(theirs), theirs.text


def test_what_an_extension_refuses_tells_nothing_of_somebody_elses(
    opened: Open, anna: TestClient, bert: TestClient, hers: str
):
    """It is asked only once the pictures have been found to be the guest's own."""
    own = hand_in(bert, png((1, 2, 3)))

    def ask(name: str) -> Any:
        units = [unit(image=name, weight=1, model="gone"), unit(image=own, mask_image=name)]
        extras = {"controlnet": {"enabled": True, "units": units}}
        return bert.post("/api/v2/jobs", json={**WORDS, "extras": extras})

    before = sum(opened.here.studio.counts().values())
    nothing = said(ask(NOBODYS), NOBODYS)
    assert nothing == said(ask(hers), hers)
    assert nothing[0] == 404 and "is not here any more" in nothing[1]
    mine = ask(own)
    assert mine.status_code == 422 and "no control model" in mine.json()["error"]["message"]
    assert sum(opened.here.studio.counts().values()) == before


def test_whoever_has_the_pixels_may_have_them(opened: Open, hers: str):
    carl = opened.client()
    assert carl.get(f"/ui/inputs/{hers}").status_code == 400
    assert carl.post("/api/v2/inputs", content=HERS).json()["id"] == hers
    assert carl.get(f"/ui/inputs/{hers}").status_code == 200
    answer = carl.post("/api/v2/jobs", json={**WORDS, "img2img": {"image": hers}})
    assert answer.status_code == 202


def test_an_upload_of_what_is_kept_already_is_answered_like_a_new_one(opened: Open):
    """Else it would say that somebody has handed the same picture in before."""
    data = io.BytesIO()
    info = PngInfo()
    info.add_text("parameters", "a fig\nSteps: 7, Seed: 3")
    Image.new("RGB", (40, 24), (7, 77, 177)).save(data, "PNG", pnginfo=info)
    first, second = (
        opened.client().post("/ui/inputs?name=fig.png", content=data.getvalue()) for _ in range(2)
    )
    assert first.status_code == second.status_code == 200
    assert first.content == second.content and b"Steps: 7" in first.content

    def headers(answer: Any) -> dict[str, str]:
        return {name: value for name, value in answer.headers.items() if name != "date"}

    assert headers(first) == headers(second)
    bare = io.BytesIO()  # the same pixels without a word: the words of the first are not told
    Image.new("RGB", (40, 24), (7, 77, 177)).save(bare, "PNG")
    third = opened.client().post("/ui/inputs", content=bare.getvalue()).json()
    assert third == {**first.json(), "infotext": ""}


def test_ones_own_result_is_sent_on_and_its_source_stays_ones_own(opened: Open, bert: TestClient):
    dora = opened.client()
    source = hand_in(dora, png((9, 120, 30)))
    first = dora.post("/api/v2/jobs", json={**WORDS, "img2img": {"image": source}}).json()["id"]
    (picture,) = ended(opened, first).pictures
    # What the picture says of itself, pasted again: by its request, and by its text.
    said = dora.get(f"/ui/read/{picture.id}").json()
    assert said["request"]["img2img"]["image"] == source
    assert dora.post("/api/v2/jobs", json=said["request"]).status_code == 202
    # The result itself, to begin with.
    sent = dora.post(f"/ui/inputs/from/{picture.id}").json()["id"]
    assert dora.get(f"/ui/inputs/{sent}").status_code == 200
    again = dora.post("/api/v2/jobs", json={**WORDS, "img2img": {"image": sent}})
    assert again.status_code == 202
    # Whoever gets the file reads in it what it was made from, and gets no further.
    data = dora.get(f"/files/picture/{picture.id}").content
    read = bert.post("/ui/read", content=data).json()["request"]
    assert read["img2img"]["image"] == source
    assert bert.get(f"/ui/inputs/{source}").status_code == 400
    answer = bert.post("/api/v2/jobs", json=read)
    assert (answer.status_code, answer.json()["error"]["key"]) == (404, "error.input.missing")
    assert bert.post(f"/ui/inputs/from/{picture.id}").status_code == 400


def test_ones_own_job_is_done_again(opened: Open):
    emil = opened.client()
    source = hand_in(emil, png((1, 120, 130)))

    def unlucky(stage: Any, step: int) -> None:
        raise RuntimeError("it fails here")

    opened.here.engine.before = unlucky
    try:
        number = emil.post("/api/v2/jobs", json={**WORDS, "img2img": {"image": source}}).json()[
            "id"
        ]
        assert ended(opened, number).state == "failed"
    finally:
        opened.here.engine.before = lambda stage, step: None
    assert emil.post(f"/api/v2/jobs/{number}/retry").status_code == 200
    assert ended(opened, number).state == "done"


def test_a_draft_gives_nothing_and_keeps_ones_own(opened: Open, bert: TestClient, hers: str):
    """Whoever writes a number into his draft finds the number again, and no picture."""
    draft = {"img2img__image": hers}
    assert bert.put("/ui/drafts/img2img", json=draft).status_code in (200, 204)
    assert bert.get(f"/ui/inputs/{hers}").status_code == 400


def test_programs_of_the_old_api(opened: Open, bert: TestClient):
    """Pictures come in the request itself: each belongs to whoever sent it, mask and units too."""
    bot = opened.client("", authorization=f"Bearer {opened.token}")
    sent = b64(Image.new("RGB", (64, 64), (77, 5, 6)))
    mask = b64(Image.new("RGB", (64, 64), "white"))
    answer = bot.post(
        "/sdapi/v1/img2img",
        json={
            **WORDS,
            "init_images": [sent],
            "mask": mask,
            "alwayson_scripts": {
                "ControlNet": {"args": [{"module": "none", "weight": 0, "image": sent}]}
            },
        },
    )
    assert answer.status_code == 200, answer.text
    job = opened.here.studio.jobs(limit=1)[0]
    assert job.client.startswith("guest:")
    (control,) = job.request.extras["controlnet"]["units"]
    for name in (*job.request.input_ids, control["image"]):
        assert bot.get(f"/ui/inputs/{name}").status_code == 200
        assert bert.get(f"/ui/inputs/{name}").status_code == 400
    enlarged = bot.post(
        "/sdapi/v1/extra-single-image", json={"image": sent, "upscaler_1": "Lanczos"}
    )
    assert enlarged.status_code == 200, enlarged.text
    seen = bot.post(
        "/controlnet/detect",
        json={"controlnet_module": "canny", "controlnet_input_images": [sent]},
    )
    assert seen.status_code == 200, seen.text


def test_a_client_of_the_new_api(opened: Open):
    """As `noisette img2img --server` does it: a token, and a visitor of its own."""
    bot = opened.client("", authorization=f"Bearer {opened.token}")
    bot.cookies.set("noisette_visitor", "c" * 32)
    name = bot.post("/api/v2/inputs", content=png((3, 77, 5))).json()["id"]
    answer = bot.post("/api/v2/jobs", json={**WORDS, "img2img": {"image": name}})
    assert answer.status_code == 202, answer.text
    assert answer.json()["request"]["img2img"]["image"] == name


def test_a_restart_forgets_nothing(opened: Open, anna: TestClient, hers: str, tmp_path: Path):
    """The rows are on the disk: another process finds them."""
    from modules.services.jobs import JobStore

    store = JobStore(opened.here.root / "data" / "noisette.sqlite3")
    try:
        client = f"guest:{anna.cookies['noisette_visitor']}"
        assert store.handed_in(client, (hers, NOBODYS)) == {hers}
    finally:
        store.close()
