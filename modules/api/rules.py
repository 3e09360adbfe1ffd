"""Every address that this program answers, with who may ask for it: one table, from which the gate decides.

An address without a row is the owner's alone; `tests/api/test_matrix.py` walks every route of the running
application, Gradio's included, and fails for one that has no row. `tools/routes.py` writes
the same table into docs/sharing.md.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from modules.services.access import Role

ANYBODY, GUEST, OWNER = Role.ANYBODY, Role.GUEST, Role.OWNER
SMALL = 2**20
LARGE = -1
"""As much as the server takes at all."""


@dataclass(frozen=True)
class Rule:
    """Who may ask for an address, and what asking costs.

    `methods` are separated by blanks; `path` may hold `{name}` for one part and `{name:path}` for the rest.
    """

    methods: str
    path: str
    least: Role
    body: int = SMALL
    """Bytes that a guest may send along."""
    cost: int = 1
    """How much of a guest's allowance of requests it takes."""

    @property
    def group(self) -> str:
        """Under which heading it stands in the documentation."""
        return "/".join(self.path.split("/")[:3])


UNKNOWN = Rule("", "", OWNER)
"""For an address that the table does not name."""


@cache
def rules() -> tuple[Rule, ...]:
    """The table; of several rows that fit, the first decides."""
    return tuple(_rules())


def _rules() -> Iterator[Rule]:
    # Before anybody has logged in.
    yield Rule("GET HEAD", "/login", ANYBODY)
    yield Rule("POST", "/login", ANYBODY, body=8192)
    yield Rule("POST", "/logout", ANYBODY, body=8192)
    yield Rule("GET", "/healthz", ANYBODY)
    yield Rule("GET", "/robots.txt", ANYBODY)
    # The page.
    yield Rule("GET HEAD", "/", GUEST)
    for path in ("/config", "/config/", "/theme.css", "/favicon.ico"):
        yield Rule("GET", path, GUEST)
    yield Rule("GET", "/assets/{path:path}", GUEST)
    yield Rule("GET", "/static/{path:path}", GUEST)
    yield Rule("GET", "/ui/access", GUEST)
    yield Rule("GET", "/ui/state", GUEST)
    yield Rule("GET", "/ui/lists", GUEST)
    yield Rule("GET", "/ui/models", GUEST)
    yield Rule("POST", "/ui/tokens", GUEST)
    yield Rule("GET", "/ui/jobs/{job_id}/sheet", GUEST)
    yield Rule("POST", "/ui/jobs/{job_id}/cancel", GUEST)
    yield Rule("POST", "/ui/jobs/{job_id}/retry", GUEST, cost=20)
    yield Rule("PUT DELETE", "/ui/drafts/{tab}", GUEST)
    yield Rule("POST", "/ui/inputs", GUEST, body=LARGE, cost=20)
    yield Rule("POST", "/ui/inputs/from/{number}", GUEST, cost=20)
    yield Rule("GET", "/ui/inputs/{name}", GUEST)
    yield Rule("POST", "/ui/read", GUEST, body=LARGE, cost=20)
    yield Rule("GET", "/ui/read/{number}", GUEST)
    yield Rule("POST", "/ui/postprocess", GUEST, cost=20)
    yield Rule("GET", "/files/picture/{number}", GUEST)
    yield Rule("GET", "/files/thumb/{number}", GUEST)
    yield Rule("GET", "/files/preview/{job_id}", GUEST)
    yield Rule("GET", "/ui/extensions", OWNER)
    yield Rule("POST", "/ui/extensions/{path:path}", OWNER)
    yield Rule("GET", "/ui/share/state", OWNER)
    yield Rule("GET", "/ui/share/qr.svg", OWNER)
    yield Rule("POST", "/ui/share/stop", OWNER)
    yield Rule("GET", "/ui/{name}", GUEST)
    yield from _gradio()
    yield from _v2()
    yield from _v1()
    # What extensions bring: they are asked for by the owner.
    yield Rule("GET HEAD POST PUT PATCH DELETE OPTIONS", "/extensions/{path:path}", OWNER)


def _gradio() -> Iterator[Rule]:
    # Its functions: which of them a guest may call, `modules.ui.guests` says, in front of each function.
    api = "/gradio_api"
    yield Rule("POST", f"{api}/queue/join", GUEST, cost=5)
    yield Rule("GET", f"{api}/queue/data", GUEST)
    for path in ("run/{api_name}", "api/{api_name}", "call/{api_name}"):
        for end in ("", "/"):
            yield Rule("POST", f"{api}/{path}{end}", GUEST, cost=5)
    yield Rule("GET", f"{api}/call/{{api_name}}/{{event_id}}", GUEST)
    for end in ("", "/"):
        yield Rule("POST", f"{api}/component_server{end}", GUEST, cost=2)
        yield Rule("POST", f"{api}/reset{end}", GUEST)
        yield Rule("GET", f"{api}/app_id{end}", GUEST)
        yield Rule("GET", f"{api}/info{end}", OWNER)
    yield Rule("GET", f"{api}/heartbeat/{{session_hash}}", GUEST)
    yield Rule("POST", f"{api}/cancel", GUEST)
    yield Rule("GET", f"{api}/startup-events", GUEST)
    yield Rule("GET", f"{api}/theme.css", GUEST)
    # Everything else of Gradio's is nobody's business; most of it the guard shuts for the owner, too.
    for end in ("", "/"):
        yield Rule("POST", f"{api}/call/v2/{{api_name}}{end}", OWNER)
    yield Rule("GET", f"{api}/call/v2/{{api_name}}/{{event_id}}", OWNER)
    for name in ("user", "login_check", "token", "runs", "vibe-code"):
        for end in ("", "/"):
            yield Rule("GET", f"{api}/{name}{end}", OWNER)
    for name in ("vibe-edit", "undo-vibe-edit", "vibe-code", "vibe-starter-queries"):
        for end in ("", "/"):
            yield Rule("POST", f"{api}/{name}{end}", OWNER)
    for name in ("dev/reload", "openapi.json", "queue/status", "upload_progress", "deep_link"):
        yield Rule("GET", f"{api}/{name}", OWNER)
    for name in ("upload", "process_recording", "stream/{event_id}", "stream/{event_id}/close"):
        yield Rule("POST", f"{api}/{name}", OWNER)
    for name in ("custom_component/{path:path}", "file/{path:path}", "stream/{path:path}"):
        yield Rule("GET", f"{api}/{name}", OWNER)
    for name in ("file={path:path}", "proxy={path:path}"):
        yield Rule("GET HEAD", f"{api}/{name}", OWNER)
    for path in ("/login/", "/logout", "/logout/"):
        yield Rule("GET POST", path, OWNER)
    for path in ("/svelte/{path:path}", "/pwa_icon", "/pwa_icon/{size}", "/manifest.json"):
        yield Rule("GET", path, OWNER)
    for path in ("/monitoring", "/monitoring/summary", "/monitoring/{key}"):
        yield Rule("GET", path, OWNER)


def _v2() -> Iterator[Rule]:
    api = "/api/v2"
    yield Rule("POST", f"{api}/jobs", GUEST, cost=20)
    yield Rule("GET DELETE", f"{api}/jobs", GUEST)
    yield Rule("GET", f"{api}/jobs/{{job_id}}", GUEST)
    yield Rule("POST", f"{api}/jobs/{{job_id}}/cancel", GUEST)
    yield Rule("POST", f"{api}/jobs/{{job_id}}/retry", GUEST, cost=20)
    yield Rule("POST", f"{api}/jobs/{{job_id}}/move", GUEST)
    yield Rule("GET", f"{api}/jobs/{{job_id}}/preview", GUEST)
    yield Rule("GET", f"{api}/jobs/{{job_id}}/events", GUEST)
    yield Rule("GET", f"{api}/pictures", GUEST)
    yield Rule("GET", f"{api}/pictures/{{number}}", GUEST)
    yield Rule("GET", f"{api}/pictures/{{number}}/file", GUEST)
    yield Rule("POST", f"{api}/inputs", GUEST, body=LARGE, cost=20)
    yield Rule("GET", f"{api}/models", GUEST)
    yield Rule("GET", f"{api}/names", GUEST)
    yield Rule("GET", f"{api}/health", GUEST)
    yield Rule("GET", f"{api}/extensions", OWNER)
    yield Rule("GET", f"{api}/metrics", OWNER)
    yield Rule("GET", f"{api}/openapi.json", OWNER)


def _v1() -> Iterator[Rule]:
    api = "/sdapi/v1"
    for name in ("txt2img", "img2img", "extra-single-image", "extra-batch-images"):
        yield Rule("POST", f"{api}/{name}", GUEST, body=LARGE, cost=20)
    for name in ("interrogate", "png-info"):
        yield Rule("POST", f"{api}/{name}", GUEST, body=LARGE, cost=20)
    for name in ("interrupt", "skip"):
        yield Rule("POST", f"{api}/{name}", GUEST)
    for name in (
        "progress",
        "samplers",
        "schedulers",
        "upscalers",
        "latent-upscale-modes",
        "sd-models",
        "sd-vae",
        "embeddings",
        "prompt-styles",
        "loras",
    ):
        yield Rule("GET", f"{api}/{name}", GUEST)
    # What reads or changes the installation.
    for name in (
        "cmd-flags",
        "memory",
        "scripts",
        "script-info",
        "extensions",
        "hypernetworks",
        "face-restorers",
        "realesrgan-models",
        "sd-modules",
        "options",
    ):
        yield Rule("GET", f"{api}/{name}", OWNER)
    for name in (
        "options",
        "refresh-checkpoints",
        "refresh-vae",
        "refresh-embeddings",
        "refresh-loras",
        "unload-checkpoint",
        "reload-checkpoint",
        "server-kill",
        "server-restart",
        "server-stop",
        "create/embedding",
        "create/hypernetwork",
        "train/embedding",
        "train/hypernetwork",
    ):
        yield Rule("POST", f"{api}/{name}", OWNER)
    yield Rule("GET", f"{api}/openapi.json", OWNER)
    yield Rule("POST", "/internal/progress", GUEST)
    for name in ("pending-tasks", "ping"):
        yield Rule("GET", f"/internal/{name}", GUEST)
    for name in (
        "quicksettings-hint",
        "profile-startup",
        "sysinfo",
        "sysinfo-download",
        "openapi.json",
    ):
        yield Rule("GET", f"/internal/{name}", OWNER)
    # What extensions serve at addresses of the field.
    for name in ("thumb", "metadata"):
        yield Rule("GET", f"/sd_extra_networks/{name}", GUEST)
    for name in ("version", "model_list", "module_list", "control_types", "settings"):
        yield Rule("GET", f"/controlnet/{name}", GUEST)
    yield Rule("POST", "/controlnet/preview", GUEST, cost=20)
    for name in ("detect", "render_openpose_json"):
        yield Rule("POST", f"/controlnet/{name}", GUEST, body=LARGE, cost=20)


def rule_for(method: str, path: str) -> Rule:
    """The first row that fits."""
    for rule, methods, form in _compiled().get(_first_part(path), ()):
        if method in methods and form.fullmatch(path):
            return rule
    return UNKNOWN


Compiled = tuple[Rule, frozenset[str], re.Pattern[str]]


@cache
def _compiled() -> Mapping[str, Sequence[Compiled]]:
    """The rows by the first part of their address, so that a request is not held against hundreds."""
    found: dict[str, list[Compiled]] = {}
    for rule in rules():
        part = _first_part(rule.path)
        if "{" in part:
            raise ValueError(f"{rule.path}: the first part of a rule's address is a plain word")
        row = (rule, frozenset(rule.methods.split()), _form(rule.path))
        found.setdefault(part, []).append(row)
    return found


def _first_part(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""


def _form(path: str) -> re.Pattern[str]:
    pieces = re.split(r"(\{\w+(?::path)?\})", path)
    return re.compile(
        "".join(
            ("(?:.*)" if piece.endswith(":path}") else "[^/]+")
            if piece.startswith("{")
            else re.escape(piece)
            for piece in pieces
        ),
        re.DOTALL,
    )
