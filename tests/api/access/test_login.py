"""The login page, sessions, tokens, and what whoever is not let in learns."""

import re
from http.cookies import SimpleCookie

import pytest
from starlette.testclient import TestClient

from modules.api.gate import SESSION_COOKIE
from modules.schema import GenerationRequest
from tests.api.access.conftest import HOST, PASSWORD, Shared


@pytest.mark.parametrize(
    ("headers", "query", "said"),
    [
        ({}, "", "Log in"),
        ({"accept-language": "zh-CN,en;q=0.5"}, "", "登录"),
        ({"accept-language": "zh-CN"}, "?lang=en", "Log in"),
        ({"accept-language": "de"}, "?lang=zh", "登录"),
        ({"accept-language": "de"}, "?lang=<script>", "Log in"),
    ],
)
def test_the_page_speaks_both_languages(stranger: TestClient, headers, query: str, said: str):
    answer = stranger.get(f"/login{query}", headers=headers)
    assert answer.status_code == 200
    assert f'<button type="submit">{said}</button>' in answer.text
    assert "<script>const" not in answer.text
    assert "gradio" not in answer.text.lower()
    assert not re.findall(r"""(?:src|href)="(?:https?:)?//""", answer.text)


def test_its_policy_lets_nothing_run_but_its_own_lines(stranger: TestClient):
    headers = stranger.get("/login").headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"


def test_a_browser_is_sent_to_it_and_a_program_gets_words(stranger: TestClient):
    answer = stranger.get("/", headers={"accept": "text/html,*/*"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login"
    told = stranger.get("/api/v2/jobs")
    assert told.status_code == 401
    assert told.headers["www-authenticate"] == "Bearer"
    assert told.json()["error"]["key"] == "error.api.login"
    assert "登录" in told.json()["error"]["messages"]["zh"]
    old = stranger.get("/sdapi/v1/samplers")
    assert old.status_code == 401
    assert old.headers["www-authenticate"].startswith("Basic ")


def test_logging_in_and_out(shared: Shared):
    client = shared.client()
    answer = client.post("/login", data={"secret": PASSWORD}, headers={"origin": f"http://{HOST}"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    cookie = SimpleCookie(answer.headers["set-cookie"])[SESSION_COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "lax"
    assert cookie["path"] == "/"
    assert not cookie["secure"]
    assert int(cookie["max-age"]) > 3600
    assert PASSWORD not in answer.headers["set-cookie"]
    told = client.get("/ui/access").json()
    assert told == {"role": "guest", "session": True, "exposed": True, "off": []}
    value = client.cookies[SESSION_COOKIE]
    assert client.post("/logout").headers["location"] == "/login"
    assert client.get("/ui/access").status_code == 401
    client.cookies.set(SESSION_COOKIE, value)  # what was written down before is worth nothing
    assert client.get("/ui/access").status_code == 401


def test_over_https_the_cookie_stays_there(shared: Shared):
    answer = shared.client().post(
        "/login", data={"secret": PASSWORD}, headers={"origin": f"https://{HOST}"}
    )
    assert SimpleCookie(answer.headers["set-cookie"])[SESSION_COOKIE]["secure"]


def test_a_wrong_password_is_said_and_not_shown_again(shared: Shared):
    client = shared.client(peer="203.0.113.20")
    typed = '"><img src=x onerror=alert(1)>'
    answer = client.post("/login?lang=zh", data={"secret": typed})
    assert answer.status_code == 401
    assert "密码不正确" in answer.text
    assert "onerror" not in answer.text
    assert "set-cookie" not in answer.headers


def test_guessing_is_slowed_down_for_who_guesses(shared: Shared):
    client = shared.client(peer="203.0.113.21")
    answers = [client.post("/login", data={"secret": f"guess {n}"}) for n in range(8)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 3
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert client.post("/login", data={"secret": PASSWORD}).status_code == 429
    bearer = {"authorization": f"Bearer {PASSWORD}"}
    assert client.get("/ui/access", headers=bearer).status_code == 429
    assert shared.client(secret=PASSWORD, peer="203.0.113.22")
    # Behind a tunnel everybody has this machine's address; the tunnel's own word tells them apart.
    through = shared.client(peer="127.0.0.1")
    other = shared.client(peer="127.0.0.1")
    for _ in range(7):
        last = through.post(
            "/login", data={"secret": "no"}, headers={"x-forwarded-for": "1.1.1.1, 9.9.9.9"}
        )
    assert last.status_code == 429
    fine = other.post(
        "/login", data={"secret": PASSWORD}, headers={"x-forwarded-for": "9.9.9.9, 8.8.8.8"}
    )
    assert fine.status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"host": "evil.example"},
    ],
)
def test_no_other_site_logs_anybody_in(stranger: TestClient, headers: dict[str, str]):
    answer = stranger.post("/login", data={"secret": PASSWORD}, headers=headers)
    assert answer.status_code in (403, 421)
    assert "set-cookie" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"secret=" + b"x" * 9000, "application/x-www-form-urlencoded", 413),
        (b"a=1&b=2&c=3&d=4&e=5", "application/x-www-form-urlencoded", 401),
        (b"\xff\xfe%ff%00", "application/x-www-form-urlencoded", 401),
        (b"{}", "application/json", 401),
        (b"", "text/plain", 401),
    ],
)
def test_odd_forms(shared: Shared, content: bytes, kind: str, status: int, request):
    client = shared.client(peer=f"198.51.100.{abs(hash(content)) % 200}")
    answer = client.post("/login", content=content, headers={"content-type": kind})
    assert answer.status_code == status


def test_tokens_of_programs(shared: Shared, stranger: TestClient):
    secret = shared.passes.add("bot")
    mine = shared.passes.add("phone", owner=True)

    def role(secret: str, kind: str = "Bearer") -> str:
        answer = stranger.get("/ui/access", headers={"authorization": f"{kind} {secret}"})
        return answer.json()["role"] if answer.status_code == 200 else str(answer.status_code)

    assert role(secret) == "guest"
    assert role(secret, "bearer") == "guest"
    assert role(mine) == "owner"
    assert role(shared.door.owner_key) == "owner"
    assert role(PASSWORD) == "guest"
    assert role(secret[:-1]) == "401"
    assert role(secret, "Digest") == "401"
    shared.passes.remove("bot")
    shared.passes.remove("phone")
    assert role(secret) == "401"


def test_basic_for_clients_of_the_old_api(shared: Shared):
    client = shared.client(peer="203.0.113.30")
    assert client.get("/ui/access", auth=("anna", PASSWORD)).json()["role"] == "guest"
    assert client.get("/ui/access", auth=("anna", "wrong")).status_code == 401
    broken = {"authorization": "Basic !!!"}
    assert client.get("/ui/access", headers=broken).status_code == 401


def test_guests_without_a_cookie_are_still_apart(shared: Shared):
    one, other = shared.client(peer="203.0.113.31"), shared.client(peer="203.0.113.31")
    asked = {"prompt": "a secret wish", "steps": 1}
    job = one.post("/api/v2/jobs", json=asked, auth=("anna", PASSWORD)).json()["id"]
    assert one.get(f"/api/v2/jobs/{job}", auth=("anna", PASSWORD)).status_code == 200
    assert other.get(f"/api/v2/jobs/{job}", auth=("bert", PASSWORD)).status_code == 404
    assert shared.studio.job(job).client.startswith("guest:")


def test_a_guest_is_not_the_owner_of_the_same_cookie(shared: Shared, guest: TestClient):
    visitor = guest.cookies["noisette_visitor"]
    client = shared.client(secret=shared.door.owner_key)
    client.cookies.set("noisette_visitor", visitor)
    job = client.post("/api/v2/jobs", json={"prompt": "mine", "steps": 1}).json()["id"]
    assert shared.studio.job(job).client == visitor
    assert guest.get(f"/api/v2/jobs/{job}").status_code == 404


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", HOST])
def test_this_machines_address_proves_nothing(shared: Shared, peer: str, host: str):
    """A tunnel and a proxy have it, too."""
    client = shared.client(peer=peer, host=host)
    assert client.get("/ui/access").status_code == 401
    assert client.get("/api/v2/openapi.json").status_code == 401


def test_a_guest_at_this_machines_address_is_a_guest(shared: Shared):
    client = shared.client(secret=PASSWORD, peer="127.0.0.1", host="127.0.0.1:7860")
    shared.studio.submit(GenerationRequest(prompt="typed"), "cli")
    assert "typed" not in client.get("/ui/lists").text
    assert client.get("/api/v2/jobs?all=true").status_code == 403


def test_no_secret_is_in_any_answer(shared: Shared, guest: TestClient, owner: TestClient):
    secrets = (PASSWORD, shared.door.owner_key)
    for client in (guest, owner):
        for path in ("/", "/config", "/ui/state", "/ui/access", "/api/v2/health", "/login"):
            text = client.get(path).text
            assert not any(secret in text for secret in secrets), path


def test_a_flood_of_requests_is_held_back(shared: Shared):
    client = shared.client(secret=PASSWORD, peer="203.0.113.40")
    statuses = [client.post("/ui/jobs/1/retry").status_code for _ in range(60)]
    assert statuses[0] == 404
    assert statuses[-1] == 429
    answer = client.post("/ui/jobs/1/retry")
    assert int(answer.headers["retry-after"]) >= 1
    assert shared.client(secret=PASSWORD, peer="203.0.113.41").get("/ui/state").status_code == 200


def test_a_guest_sends_no_large_bodies_but_pictures(guest: TestClient):
    assert guest.post("/ui/tokens", content=b"x" * (2**20 + 1)).status_code == 413
    assert guest.post("/ui/inputs", content=b"x" * (2**20 + 1)).status_code == 400
