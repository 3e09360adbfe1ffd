"""Roles and routes: every address of the running application has a rule, and the rule is what happens."""

import re

import pytest
from starlette.testclient import TestClient

from modules.api.rules import UNKNOWN, rule_for, rules
from modules.services.access import Role
from tests.api.access.conftest import Shared, routes

OPEN = {
    ("GET", "/login"),
    ("HEAD", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("GET", "/healthz"),
    ("GET", "/robots.txt"),
}
"""What answers before anybody has logged in. A further one is a decision: it is to be written here, too."""


def example(path: str) -> str:
    """An address that a route's path fits."""
    return re.sub(r"\{\w+(:path)?\}", "1", path)


def test_every_route_has_a_rule(shared: Shared):
    walked = set(routes(shared.parent))
    assert len(walked) > 100
    assert {path for _, path in walked} >= {
        "/gradio_api/queue/join",
        "/api/v2/jobs",
        "/extensions/own/secret",
        "/sdapi/v1/txt2img",
        "/sdapi/v1/loras",
        "/controlnet/detect",
        "/internal/progress",
        "/",
    }
    without = [each for each in walked if rule_for(each[0], example(each[1])) is UNKNOWN]
    assert not without, (
        "These routes have no row in modules/api/rules.py. Say there who may ask for them, and in docs/sharing.md: "
        f"{without}"
    )


WIDE = {
    "/assets/{path:path}",
    "/static/{path:path}",
    "/ui/extensions/{path:path}",
    "/extensions/{path:path}",
}
"""Rows that stand for addresses below a place of one kind; a further one is a decision."""


def form(path: str) -> str:
    """An address whose parts have no names, so that a row and a route can be compared."""
    return re.sub(r"\{\w+(:path)?\}", "{}", path)


def test_no_route_slips_in_under_a_row_of_another(shared: Shared):
    """`/ui/{name}` is a row for the page's files, and would let guests have any `/ui/new`, too."""
    slipped = {
        (method, path, rule.path)
        for method, path in set(routes(shared.parent))
        if (rule := rule_for(method, example(path))).path not in WIDE
        and rule.least is not Role.OWNER
        and form(rule.path) != form(path)
    }
    assert not slipped, "give these routes a row of their own, before the wider one"


def test_no_rule_is_for_nothing(shared: Shared):
    walked = {(method, example(path)) for method, path in routes(shared.parent)}
    used = {rule_for(*each) for each in walked}
    idle = [
        rule.path
        for rule in rules()
        if rule not in used
        # Gradio's own doors to what ours stands before, and what is there only at times.
        and not rule.path.startswith(
            ("/sdapi/", "/controlnet/", "/internal/", "/sd_extra_networks/", "/logout", "/static/")
        )
    ]
    assert idle == [], "rules that no route needs, or that an earlier one hides"


def test_what_is_open_is_written_down(shared: Shared):
    found = {
        each
        for each in routes(shared.parent)
        if rule_for(each[0], example(each[1])).least is Role.ANYBODY
    }
    assert found == OPEN


def ask(client: TestClient, method: str, path: str):
    return client.request(method, example(path), headers={"accept": "application/json"})


def test_a_stranger_gets_nowhere(shared: Shared, stranger: TestClient):
    for method, path in sorted(set(routes(shared.parent)) - OPEN):
        status = ask(stranger, method, path).status_code
        # 404 is what the guard says of Gradio's side doors, to everybody.
        assert status in (401, 404), (method, path, status)
        if status == 404:
            assert rule_for(method, example(path)).least is Role.OWNER


def test_a_guest_gets_what_the_table_says(shared: Shared):
    # A guest of his own, whose allowance of requests is not to run out on the way.
    client = shared.client(secret=shared.door.password)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared.app._gate._requests, "burst", 1e9)
        patch.setattr(shared.app._gate._requests, "per_second", 1e9)
        for method, path in sorted(set(routes(shared.parent))):
            if path in ("/logout", "/login") or "events" in path or "heartbeat" in path:
                continue  # they end the session, or never end
            if path.endswith(
                ("queue/data", "/call/{api_name}/{event_id}", "v2/{api_name}/{event_id}")
            ):
                continue
            status = ask(client, method, path).status_code
            rule = rule_for(method, example(path))
            if rule.least is Role.OWNER:
                assert status in (403, 404), (method, path, status)
            else:
                assert status not in (401, 403), (method, path, status)


@pytest.mark.parametrize(
    "path", ["/nothing", "/ui/new/thing", "/api/v3/jobs", "/GRADIO_API/info", "//ui/extensions"]
)
def test_an_address_without_a_rule_is_the_owners(
    guest: TestClient, owner: TestClient, path: str, stranger: TestClient
):
    assert ask(stranger, "GET", path).status_code == 401
    assert guest.get(path).status_code == 403
    assert owner.get(path).status_code == 404


def test_the_owner_gets_everything_but_what_changes_code(owner: TestClient):
    for path in (
        "/api/v2/extensions",
        "/api/v2/openapi.json",
        "/gradio_api/info",
        "/extensions/own/secret",
    ):
        assert owner.get(path).status_code == 200, path
    assert owner.get("/ui/extensions").json()["admin"] is False
    refused = owner.post("/ui/extensions/own/disable")
    assert refused.status_code == 403
    assert "this machine" in refused.json()["detail"]["en"]


def test_methods_that_no_row_names_are_the_owners(guest: TestClient):
    for method in ("PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"):
        assert guest.request(method, "/ui/state").status_code == 403
