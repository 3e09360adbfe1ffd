"""What there is, settings, progress and care, as clients ask for them."""

import json
import threading
import time

import pytest

from modules.api.v1.app import OPTIONS_FILE
from modules.schema import JobState
from tests.api.callers import ANNA, BERT
from tests.api.v1.conftest import b64, picture
from tests.services.fakes import Held

SMALL = {"prompt": "a cat", "steps": 2, "width": 64, "height": 64}


def get(client, path):
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("samplers", "name aliases options"),
        ("schedulers", "name label aliases default_rho need_inner_model"),
        ("upscalers", "name model_name model_path model_url scale"),
        ("latent-upscale-modes", "name"),
        ("sd-models", "title model_name hash sha256 filename config"),
        ("prompt-styles", "name prompt negative_prompt"),
        ("script-info", "name is_alwayson is_img2img args"),
    ],
)
def test_rows_have_the_keys_that_clients_read(here, path, keys):
    rows = get(here.client(), f"/sdapi/v1/{path}")
    assert rows and all(set(row) == set(keys.split()) for row in rows)


def test_names_are_those_that_requests_take(here):
    client = here.client()
    names = [row["name"] for row in get(client, "/sdapi/v1/samplers")]
    assert {"Euler a", "DPM++ 2M", "DDIM"} <= set(names)
    assert all(isinstance(row["options"], dict) for row in get(client, "/sdapi/v1/samplers"))
    schedules = {row["name"]: row["label"] for row in get(client, "/sdapi/v1/schedulers")}
    assert schedules["karras"] == "Karras" and "automatic" in schedules
    upscalers = get(client, "/sdapi/v1/upscalers")
    assert {"None", "Lanczos"} <= {row["name"] for row in upscalers}
    assert all(isinstance(row["scale"], float) for row in upscalers)
    assert len(get(client, "/sdapi/v1/latent-upscale-modes")) == 6
    titles = [row["title"] for row in get(client, "/sdapi/v1/sd-models")]
    assert titles[0] == "tiny.safetensors [0123456789]" and titles[1] == "other.safetensors"
    assert get(client, "/sdapi/v1/options")["sd_model_checkpoint"] in titles


def test_the_smaller_lists(here, tmp_path):
    client = here.client()
    (here.root / "models" / "vae").mkdir(parents=True, exist_ok=True)
    (here.root / "models" / "vae" / "soft.safetensors").write_bytes(b"x")
    for path in ("sd-vae", "sd-modules"):
        assert get(client, f"/sdapi/v1/{path}")[0]["model_name"] == "soft"
    assert get(client, "/sdapi/v1/hypernetworks") == []
    assert get(client, "/sdapi/v1/realesrgan-models") == []
    assert {row["name"] for row in get(client, "/sdapi/v1/face-restorers")} == {
        "GFPGAN", "CodeFormer",
    }  # fmt: skip
    embeddings = get(client, "/sdapi/v1/embeddings")
    assert embeddings["loaded"]["easyneg"]["vectors"] == 4 and embeddings["skipped"] == {}
    scripts = get(client, "/sdapi/v1/scripts")
    assert {"freeu", "style mixer", "lora", "upscaler"} <= set(scripts["txt2img"])
    assert get(client, "/sdapi/v1/extensions") == []
    info = {row["name"]: row for row in get(client, "/sdapi/v1/script-info")}
    b1 = info["freeu"]["args"][1]
    assert (b1["label"], b1["value"], b1["minimum"], b1["maximum"]) == ("b1", 1.2, 0, 2)


def test_loras(here):
    folder = here.root / "models" / "lora"
    folder.mkdir(parents=True, exist_ok=True)
    import numpy as np
    from safetensors.numpy import save_file

    said = {"ss_output_name": "Inky", "ss_tag_frequency": '{"a": {"ink": 3}}'}
    save_file({"x.weight": np.zeros((2, 2), np.float32)}, folder / "ink.safetensors", said)
    (folder / "broken.safetensors").write_bytes(b"nothing")
    rows = {row["name"]: row for row in get(here.client(), "/sdapi/v1/loras")}
    assert rows["ink"]["path"] == "lora/ink.safetensors"
    assert rows["ink"]["metadata"]["ss_tag_frequency"] == {"a": {"ink": 3}}
    assert "broken" in rows
    picture("green", (300, 200)).save(folder / "ink.png")
    client = here.client()
    for name in ("lora/ink.safetensors", "ink"):
        thumb = client.get("/sd_extra_networks/thumb", params={"filename": name})
        assert (thumb.status_code, thumb.headers["content-type"]) == (200, "image/webp")
    for name in ("lora/broken.safetensors", "../../x", "/etc/passwd", ""):
        answer = client.get("/sd_extra_networks/thumb", params={"filename": name})
        assert answer.status_code == 404
    said = get(client, "/sd_extra_networks/metadata?page=lora&item=ink")["metadata"]
    assert json.loads(said)["ss_output_name"] == "Inky"
    assert get(client, "/sd_extra_networks/metadata?page=lora&item=nothing") == {}
    (folder / "ink.png").unlink()
    assert here.client().post("/sdapi/v1/refresh-loras").json() is None
    prompt = "a <lora:inky:0> <lora:nothing>"  # at 0 it does nothing, which this engine can do
    made = here.client().post("/sdapi/v1/txt2img", json={**SMALL, "prompt": prompt})
    (warning,) = json.loads(made.json()["info"])["warnings"]
    assert "nothing" in warning and here.last().prompt == "a <lora:inky:0> "
    (folder / "ink.safetensors").unlink()
    (folder / "broken.safetensors").unlink()


# ------------------------------------------------------------------------------------------------- settings


def test_settings_are_defaults_of_this_api(here):
    client = here.client()
    before = get(client, "/sdapi/v1/options")
    assert before["sd_vae"] == "Automatic" and before["CLIP_stop_at_last_layers"] == 1
    answer = client.post(
        "/sdapi/v1/options",
        json={"sd_model_checkpoint": "other.safetensors", "CLIP_stop_at_last_layers": "2",
              "samples_save": False},
    )  # fmt: skip
    assert (answer.status_code, answer.json()) == (200, None)
    after = get(client, "/sdapi/v1/options")
    assert (after["sd_model_checkpoint"], after["CLIP_stop_at_last_layers"]) == (
        "other.safetensors", 2,
    )  # fmt: skip
    assert after["samples_save"] is False
    client.post("/sdapi/v1/txt2img", json=SMALL)
    assert (here.last().model, here.last().clip_skip) == ("other", 2)
    client.post(
        "/sdapi/v1/txt2img", json={**SMALL, "override_settings": {"sd_model_checkpoint": "tiny"}}
    )
    assert here.last().model == "tiny"
    assert (
        here.studio.resolve(type(here.last())(), "").model == "tiny"
    )  # the page knows nothing of it


@pytest.mark.parametrize(
    "values",
    [
        {"CLIP_stop_at_last_layers": 2, "nothing": 1},
        {"CLIP_stop_at_last_layers": 2, "sd_model_checkpoint": "nothing"},
        {"CLIP_stop_at_last_layers": 2, "sd_vae": "nothing"},
        {"CLIP_stop_at_last_layers": 2, "tiling": "perhaps"},
        {"CLIP_stop_at_last_layers": 2, "emphasis": "loud"},
        {"CLIP_stop_at_last_layers": 1_000_000_000},
        {"CLIP_stop_at_last_layers": 2, "s_churn": -1},
        {"CLIP_stop_at_last_layers": 2, "eta_noise_seed_delta": 2**40},
        {"CLIP_stop_at_last_layers": 2, "eta_ddim": 9},
        {"CLIP_stop_at_last_layers": 2, "eta_ancestral": -1},
        {"CLIP_stop_at_last_layers": 2, "initial_noise_multiplier": 1e9},
    ],
)
def test_a_setting_that_cannot_be_changes_nothing(here, values):
    client = here.client()
    answer = client.post("/sdapi/v1/options", json=values)
    assert answer.status_code == 422 and isinstance(answer.json()["detail"], str)
    assert get(client, "/sdapi/v1/options")["CLIP_stop_at_last_layers"] == 1


@pytest.mark.parametrize("name", ["outdir_samples", "outdir_grids", "outdir_whatever_comes"])
def test_no_path_is_set_over_the_network(here, name):
    """Not from this machine either, and nothing that stands beside it: it would be told again as if it held."""
    client = here.client()
    answer = client.post(
        "/sdapi/v1/options",
        json={"CLIP_stop_at_last_layers": 2, name: "/etc", "samples_save": True},
    )
    if name == "outdir_whatever_comes":
        assert answer.status_code == 422
    else:
        assert answer.status_code == 403 and name in answer.json()["detail"]
        assert set(answer.json()["messages"]) == {"en", "zh"}
    now = get(client, "/sdapi/v1/options")
    assert name not in now and now["CLIP_stop_at_last_layers"] == 1 and "samples_save" not in now


def test_a_path_that_was_kept_by_an_earlier_version_is_not_told(here):
    file = here.root / "data" / OPTIONS_FILE
    file.write_text('{"outdir_samples": "/etc", "samples_save": false}', encoding="ascii")
    client = here.client()
    now = get(client, "/sdapi/v1/options")
    assert "outdir_samples" not in now and now["samples_save"] is False
    # What a client has read it may set again.
    assert client.post("/sdapi/v1/options", json=now).status_code == 200


OWNERS = [
    ("POST", "/sdapi/v1/options", {}),
    ("GET", "/sdapi/v1/cmd-flags", None),
    ("GET", "/sdapi/v1/memory", None),
    ("POST", "/sdapi/v1/refresh-checkpoints", None),
    ("POST", "/sdapi/v1/refresh-vae", None),
    ("POST", "/sdapi/v1/refresh-embeddings", None),
    ("POST", "/sdapi/v1/unload-checkpoint", None),
    ("POST", "/sdapi/v1/reload-checkpoint", None),
    ("POST", "/sdapi/v1/server-stop", None),
    ("POST", "/sdapi/v1/server-kill", None),
    ("POST", "/sdapi/v1/server-restart", None),
    ("GET", "/sdapi/v1/openapi.json", None),
    ("GET", "/internal/sysinfo", None),
    ("GET", "/internal/sysinfo-download", None),
    ("GET", "/internal/profile-startup", None),
]


@pytest.mark.parametrize(("method", "path", "body"), OWNERS)
def test_the_owners(here, method, path, body):
    away = here.client(BERT, peer="10.0.0.9")
    assert away.request(method, path, json=body).status_code == 403
    answer = here.client().request(method, path, json=body)
    expected = 404 if "server-" in path else 200
    assert answer.status_code == expected and answer.json() is not NotImplemented


def test_what_it_was_started_with_opens_no_doors(here):
    flags = get(here.client(), "/sdapi/v1/cmd-flags")
    assert flags["port"] == 7860
    assert not any(word in name for name in flags for word in ("token", "password", "auth"))


def test_memory(here):
    found = get(here.client(), "/sdapi/v1/memory")
    assert found["ram"]["total"] > found["ram"]["used"] > 0
    assert "error" in found["cuda"] or found["cuda"]["system"]["total"] > 0


@pytest.mark.parametrize("path", ["create/embedding", "create/hypernetwork",
                                  "train/embedding", "train/hypernetwork"])  # fmt: skip
def test_nothing_is_trained(here, path):
    answer = here.client().post(f"/sdapi/v1/{path}", json={"name": "x"})
    assert answer.status_code == 404 and "train" in answer.json()["detail"]


def test_stopping_the_program_has_to_be_allowed(here, monkeypatch):
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    from modules.api.v1 import care
    from modules.api.v1.app import PREFIX, v1_apps
    from modules.services.access import Exposure
    from modules.settings import Settings
    from tests.api.callers import Face

    raised = []
    monkeypatch.setattr(care, "_GONE_SECONDS", 0.0)
    monkeypatch.setattr(care.signal, "raise_signal", raised.append)
    allowed = Settings(data_dir=here.root, api_server_stop=True)
    app = FastAPI()
    app.mount(PREFIX, v1_apps(here.studio, Face(), allowed, Exposure(), plugins=None).app)
    with TestClient(app, base_url="http://127.0.0.1:7860", client=("127.0.0.1", 1)) as client:
        assert client.post("/sdapi/v1/server-stop").json() == "Stopping."
        assert client.post("/sdapi/v1/server-restart").status_code == 501
        paths = client.get("/sdapi/v1/openapi.json").json()["paths"]
        assert "200" in paths["/server-stop"]["post"]["responses"]
        assert declared(paths, "/server-restart") == {"501"}
        until = time.monotonic() + 60
        while not raised and time.monotonic() < until:
            time.sleep(0.01)
        assert raised == [care.signal.SIGTERM]
        assert client.get("/sdapi/v1/scripts").json() == {"txt2img": [], "img2img": []}
        styled = client.post("/sdapi/v1/txt2img", json={**SMALL, "styles": ["x"]})
        assert styled.status_code == 422 and "styles" in styled.json()["detail"]
        asked = {"image": b64(picture())}
        for path in ("extra-single-image", "interrogate"):
            assert client.post(f"/sdapi/v1/{path}", json=asked).status_code == 422


def test_everything_loaded_is_let_go(here):
    client = here.client()
    assert client.post("/sdapi/v1/unload-checkpoint").json() == {}
    assert client.post("/sdapi/v1/reload-checkpoint").json() == {}
    assert client.post("/sdapi/v1/txt2img", json=SMALL).status_code == 200


# ------------------------------------------------------------------------------------------------- progress


def running(here, **fields):
    """A request that waits in a thread of its own, held at its tenth step; what it is answered, its job and the hold."""
    answers, held = [], Held(here.engine, 10)
    sent = {**SMALL, "steps": 20, **fields}
    thread = threading.Thread(
        target=lambda: answers.append(here.client().post("/sdapi/v1/txt2img", json=sent))
    )
    thread.start()
    assert held.reached.wait(60)
    (job,) = here.studio.jobs(states=[JobState.RUNNING])
    until = time.monotonic() + 60
    while here.studio.progress(job.id).step < 8:  # of the nine that are told already
        assert time.monotonic() < until, "it is not told"
        time.sleep(0.02)
    return thread, answers, job, held


def test_idle(here):
    found = get(here.client(), "/sdapi/v1/progress")
    assert (found["progress"], found["state"]["job_count"]) == (0.0, 0)
    assert found["current_image"] is None and found["textinfo"] is None
    assert here.client().post("/sdapi/v1/interrupt").json() == {}
    assert here.client().post("/sdapi/v1/skip").json() is None


def test_progress_and_interrupt(here):
    thread, answers, _, held = running(here, n_iter=2, force_task_id="task(mine)")
    client = here.client()
    found = get(client, "/sdapi/v1/progress")
    assert 0 < found["progress"] < 1 and found["state"]["job_count"] == 2
    assert found["state"]["sampling_steps"] == 20 and found["current_image"]
    assert get(client, "/sdapi/v1/progress?skip_current_image=true")["current_image"] is None
    other = here.client(BERT, peer="10.0.0.9")
    assert get(other, "/sdapi/v1/progress")["state"]["job_count"] == 0
    assert other.post("/sdapi/v1/interrupt").json() == {}
    asked = {"id_task": "task(mine)"}
    told = client.post("/internal/progress", json=asked).json()
    assert told["active"] and not told["completed"] and 0 < told["progress"] < 1
    assert told["live_preview"].startswith("data:image/png;base64,")
    again = client.post("/internal/progress", json={**asked, "id_live_preview": 10**6}).json()
    assert again["live_preview"] is None
    unknown = other.post("/internal/progress", json=asked).json()
    assert not (unknown["active"] or unknown["queued"] or unknown["completed"])
    assert client.post("/sdapi/v1/interrupt").json() == {}
    held.go.set()
    thread.join(60)
    assert answers[0].status_code == 200 and json.loads(answers[0].json()["info"])["interrupted"]
    assert client.post("/internal/progress", json=asked).json()["completed"]


def test_skip_leaves_out_the_batch_that_is_being_made(here):
    thread, answers, job, held = running(here, n_iter=2, seed=5)
    assert here.client().post("/sdapi/v1/skip").json() is None
    held.go.set()
    thread.join(60)
    info = json.loads(answers[0].json()["info"])
    assert info["all_seeds"] == [6] and "skipped" in info["warnings"][0]
    assert here.studio.job(job.id).state is JobState.DONE


def test_what_waits_is_listed_by_its_name(here):
    thread, _, job, held = running(here)
    waiting = threading.Thread(
        target=lambda: here.client().post(
            "/sdapi/v1/txt2img", json={**SMALL, "force_task_id": "task(next)"}
        )
    )
    waiting.start()
    client = here.client()
    until = time.monotonic() + 60
    while not get(client, "/internal/pending-tasks")["size"] and time.monotonic() < until:
        time.sleep(0.02)
    assert get(client, "/internal/pending-tasks") == {"size": 1, "tasks": ["task(next)"]}
    told = client.post("/internal/progress", json={"id_task": "task(next)"}).json()
    assert told["queued"] and "queue" in told["textinfo"]
    here.studio.cancel(job.id, ANNA)
    held.go.set()
    thread.join(60)
    waiting.join(60)


def test_the_rest_of_internal(here):
    client = here.client()
    assert get(client, "/internal/ping") == {}
    hints = get(client, "/internal/quicksettings-hint")
    assert {"name": "sd_vae", "label": "SD VAE"} in hints
    assert get(client, "/internal/sysinfo")["Models"] == ["tiny", "other", "flow"]
    saved = client.get("/internal/sysinfo-download")
    assert "attachment" in saved.headers["content-disposition"]
    assert "freeu" in get(client, "/internal/profile-startup")["records"]


def test_every_route_is_there(here):
    """Section by section as the field has it; a client finds out by 405 what exists."""
    routes = """txt2img img2img extra-single-image extra-batch-images png-info interrogate interrupt skip
        refresh-embeddings refresh-checkpoints refresh-vae refresh-loras create/embedding create/hypernetwork
        train/embedding train/hypernetwork unload-checkpoint reload-checkpoint server-kill server-restart
        server-stop""".split()  # noqa: SIM905 - as the reference lists them
    for route in routes:
        assert here.client().get(f"/sdapi/v1/{route}").status_code == 405, route
    gets = """progress options cmd-flags samplers schedulers upscalers latent-upscale-modes sd-models sd-vae
        sd-modules hypernetworks face-restorers realesrgan-models prompt-styles embeddings memory scripts
        script-info extensions loras""".split()  # noqa: SIM905
    for route in gets:
        assert here.client().get(f"/sdapi/v1/{route}").status_code == 200, route
    answer = here.client().get("/sdapi/v1/nothing")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def declared(paths, path):
    """What a route says of itself, without what every route may answer."""
    return paths[path]["post"]["responses"].keys() - {
        "400", "403", "413", "422", "429", "500", "503", "404"
    }  # fmt: skip


def test_what_is_always_refused_declares_no_answer(here):
    paths = here.client().get("/sdapi/v1/openapi.json").json()["paths"]
    refused = [path for path in paths if path.startswith(("/create/", "/train/", "/server-"))]
    assert len(refused) == 7
    for path in refused:
        assert declared(paths, path) == set(), path
        said = paths[path]["post"]["responses"]["404"]
        assert said["content"]["application/json"]["schema"]["$ref"].endswith("/Refusal")
        answer = here.client().post(f"/sdapi/v1{path}", json={})
        assert answer.status_code == 404 and answer.json()["detail"]
