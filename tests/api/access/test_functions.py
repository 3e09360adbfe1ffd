"""Gradio's functions and a guest's page: hidden is not locked, so both."""

import json
import re

import gradio as gr
import pytest
from gradio.context import LocalContext
from starlette.requests import Request
from starlette.testclient import TestClient

from modules.plugins.guests import is_for_guests
from modules.services.access import Identity, Role, put_identity
from modules.ui.guests import FUNCTIONS, may_guests
from tests.api.access.conftest import Shared

OWNERS_TABS = {"own", "frame", "wildcards", "styles"}
FOR_GUESTS = {
    "lora_search", "lora_cards", "lora_to_rows", "lora_to_prompt", "lora_both", "lora_words",
    "lora_blends", "lora_blend", "lora_read_blend",
    "styles_search", "styles_named", "styles_get",
    "upscaler_choices",
    "control_choices",
}  # fmt: skip
"""Functions of extensions that guests may call. A further one is a decision: it is to be written here, too."""
MARKED = {"_shown", "_all_values.<locals>.fill"}
"""And those that hang on events: the grid's rows of values, which are its options on the guest's own page."""


def asked_by(role: Role | None) -> Request:
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    if role is not None:
        put_identity(scope, Identity(role))
    return Request(scope)


def refuses(function, role: Role | None) -> bool:
    """Whether it refuses before it does anything."""
    LocalContext.request.set(asked_by(role))
    try:
        told = function(*range(50))  # wrong for all of them: what gets that far fails otherwise
    except gr.Error as error:
        return "Only the owner" in str(error.message)
    except Exception:  # noqa: BLE001 - whatever it makes of fifty numbers, it was let through
        return False
    finally:
        LocalContext.request.set(None)
    return "Only the owner" in str(told)


def test_every_function_of_the_page_is_for_guests_or_refuses_them(shared: Shared):
    functions = [each.fn for each in shared.page.blocks.fns.values() if each.fn is not None]
    assert len(functions) > 15
    own = {each.__name__ for each in functions if may_guests(each) and not is_for_guests(each)}
    assert own == FUNCTIONS, "the list in modules/ui/guests.py names functions that are not there"
    marked = {each.__qualname__ for each in functions if is_for_guests(each)}
    assert marked == MARKED, "to let guests call a further function is a decision"
    for function in functions:
        for role in (Role.GUEST, Role.ANYBODY, None):
            assert refuses(function, role) is not may_guests(function), function
        assert not refuses(function, Role.OWNER)


def test_every_server_function_is_for_guests_or_refuses_them(shared: Shared):
    served = [
        getattr(block, each.__name__)
        for block in shared.page.blocks.blocks.values()
        for each in getattr(block, "server_fns", ())
    ]
    names = {each.__name__ for each in served}
    assert names > FOR_GUESTS
    assert {each.__name__ for each in served if is_for_guests(each)} == FOR_GUESTS
    for function in served:
        assert refuses(function, Role.GUEST) is not is_for_guests(function), function
        assert refuses(function, None) is not is_for_guests(function), function
        assert not refuses(function, Role.OWNER), function


def number_of(client: TestClient, name: str) -> int:
    found = client.get("/config").json()["dependencies"]
    return next(each["id"] for each in found if each["api_name"] == name)


@pytest.mark.parametrize("way", ["run by name", "run by number", "call", "queue"])
def test_over_http_too(shared: Shared, guest: TestClient, owner: TestClient, way: str):
    number = number_of(owner, "own_tell")

    def told(client: TestClient) -> str:
        body = {"data": [], "fn_index": number, "session_hash": f"h{way[-1]}{id(client)}"}
        match way:
            case "run by name":
                return client.post("/gradio_api/run/own_tell", json={"data": []}).text
            case "run by number":
                return client.post("/gradio_api/run/predict", json=body).text
            case "call":
                answer = client.post("/gradio_api/call/own_tell", json={"data": []}).json()
                return client.get(f"/gradio_api/call/own_tell/{answer['event_id']}").text
            case _:
                assert client.post("/gradio_api/queue/join", json=body).status_code == 200
                path = f"/gradio_api/queue/data?session_hash={body['session_hash']}"
                return client.get(path).text

    assert "told-everything" in told(owner)
    assert "told-everything" not in told(guest)


def test_server_functions_over_http_too(shared: Shared, guest: TestClient, owner: TestClient):
    block = next(
        number
        for number, each in shared.page.blocks.blocks.items()
        if any(f.__name__ == "styles_save" for f in getattr(each, "server_fns", ()))
    )

    def ask(client: TestClient, name: str):
        body = {"component_id": block, "fn_name": name, "data": {"as": "csv"}, "session_hash": "s"}
        return client.post("/gradio_api/component_server", json=body)

    for name in ("styles_save", "styles_delete", "styles_import", "styles_export"):
        answer = ask(guest, name)
        assert "Only the owner" in answer.json()["error"]["en"]
    assert ask(guest, "styles_search").json()["total"] > 0
    assert "no presets of your own" in ask(owner, "styles_export").text


def config_in(document: str) -> dict:
    start = document.index("window.gradio_config = ") + len("window.gradio_config = ")
    return json.JSONDecoder().raw_decode(document, start)[0]


def test_a_guests_page_has_no_tabs_of_the_owner(guest: TestClient, owner: TestClient):
    def tabs(client: TestClient) -> set[str]:
        config = config_in(client.get("/").text)
        assert {each["id"] for each in config["components"]} == {
            each["id"] for each in client.get("/config").json()["components"]
        }
        ids = {
            each["props"].get("id") for each in config["components"] if each["type"] == "tabitem"
        }
        return {str(each).partition("-")[0] for each in ids}

    assert tabs(owner) >= {
        "txt2img",
        "img2img",
        "pnginfo",
        "queue",
        "extensions",
        "upscaler",
        *OWNERS_TABS,
    }
    assert tabs(guest) == {"txt2img", "img2img", "pnginfo", "queue", "upscaler"}
    page = guest.get("/").text
    assert "own-button-of-the-owner" not in page
    assert "own-button-of-the-owner" in owner.get("/").text


def test_what_is_left_of_a_guests_page_holds_together(guest: TestClient):
    config = guest.get("/config").json()
    known = {each["id"] for each in config["components"]}

    def walk(node: dict) -> set[int]:
        return {node["id"]}.union(*(walk(each) for each in node.get("children", ())))

    assert walk(config["layout"]) - {config["layout"]["id"]} == known
    for each in config["dependencies"]:
        used = {
            *each["inputs"],
            *each["outputs"],
            *(t for t, *_ in each["targets"] if t is not None),
        }
        assert used <= known | {config["layout"]["id"]}
    (page,) = config["page"].values()  # Gradio says it all twice
    assert page["layout"] == config["layout"]
    assert set(page["components"]) == known
    assert set(page["dependencies"]) == {each["id"] for each in config["dependencies"]}
    names = {each["api_name"] for each in config["dependencies"]}
    assert {"txt2img", "img2img"} <= names
    assert not any(str(name).startswith(("own_", "frame_", "wildcards_")) for name in names)


def test_no_text_ends_the_script_it_stands_in(guest: TestClient):
    document = guest.get("/").text
    start = document.index("window.gradio_config = ")
    script = document[start : document.index("</script>", start)]
    assert json.loads(
        re.sub(r"^window\.gradio_config = |;\s*$", "", script).rstrip("; \n").split(";window")[0]
    )
    assert "<" not in script.split(";window")[0]


def test_guests_queue_pictures_on_their_page(shared: Shared, guest: TestClient):
    config = guest.get("/config").json()
    dependency = next(each for each in config["dependencies"] if each["api_name"] == "txt2img")
    values = {each["id"]: each["props"].get("value") for each in config["components"]}
    data = [values[number] for number in dependency["inputs"]]
    body = {"data": data, "fn_index": dependency["id"], "session_hash": "x"}
    told = guest.post("/gradio_api/run/predict", json=body).json()["data"][0]
    assert told["kind"] == "submitted", told
    assert shared.studio.job(told["job"]).client == f"guest:{guest.cookies['noisette_visitor']}"
