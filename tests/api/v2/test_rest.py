"""What there is, how it is, and the document of `/api/v2`."""

import io

import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from modules.api.v2.app import describe
from modules.services.access import Exposure
from tests.api.callers import BERT, Face


def png(size=(16, 16)):
    buffer = io.BytesIO()
    Image.effect_noise(size, 90).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_picture_is_handed_in_and_used(here):
    client = here.client()
    answer = client.post("/inputs", content=png())
    assert answer.status_code == 201
    assert answer.json()["width"] == 16
    group = {"image": answer.json()["id"], "denoising_strength": 0.5}
    size = {"width": 64, "height": 64}
    job = client.post("/jobs", json={"prompt": "a cat", "img2img": group, **size})
    assert job.status_code == 202, job.text
    assert job.json()["request"]["img2img"]["image"] == answer.json()["id"]
    assert client.post("/inputs", content=b"GIF89a").status_code == 422
    assert client.post("/inputs", content=b"").status_code == 422
    large = client.post("/inputs", content=png((400, 400)))
    assert (large.status_code, large.json()["error"]["key"]) == (413, "error.input.bytes")


def test_models_and_names(here):
    client = here.client()
    (model,) = client.get("/models").json()["models"]
    assert (model["name"], model["defaults"]["steps"], model["default"]) == ("tiny", 3, True)
    assert "path" not in model
    names = client.get("/names").json()
    assert {"name": "euler_a", "label": "Euler a"} in names["samplers"]
    assert "Lanczos" in names["upscalers"]
    assert client.get("/models?refresh=true").status_code == 200
    assert here.client(BERT, peer="10.0.0.9").get("/models?refresh=true").status_code == 403


def test_extensions_say_what_they_take(here, plugins, monkeypatch):
    monkeypatch.setattr(here.house.studio, "extensions", lambda: plugins.reports)
    (found,) = here.client().get("/extensions").json()
    assert (found["name"], found["state"]) == ("freeu", "active")
    assert found["options"]["properties"]["b1"]["type"] == "number"


def test_health_says_what_is_wrong(here):
    from modules.errors import StorageError

    assert here.client().get("/health").json()["status"] == "ok"
    here.house.hub.report_problem(StorageError("error.storage.full", path="x"))
    found = here.client().get("/health").json()
    assert found["status"] == "degraded" and "full" in found["problem"]["message"]


def test_metrics_are_what_prometheus_reads(here):
    client = here.client()
    here.house.studio.start()
    here.house.finish(client.post("/jobs", json={"prompt": "a cat"}).json()["id"])
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    samples = {
        (sample.name, sample.labels.get("state", "")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["noisette_jobs", "done"] == 1 and samples["noisette_jobs", "queued"] == 0
    assert samples["noisette_pictures_total", ""] == 1
    assert samples["noisette_job_seconds_count", ""] == 1
    assert samples["process_resident_memory_bytes", ""] > 0


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json"])
def test_figures_and_document_are_the_owners(here, path):
    assert here.client().get(path).status_code == 200
    assert here.client(peer="10.0.0.9").get(path).status_code == 403
    shared = here.client()
    assert shared.get(path, headers={"x-forwarded-for": "1.2.3.4"}).status_code == 403
    from modules.api.v2.app import v2_app

    exposed = v2_app(
        here.house.studio, Face(), Exposure(shared=True), plugins=None, max_upload=1000
    )
    here.app = exposed
    assert here.client().get(path).status_code == 403


def test_what_is_not_there(here):
    client = here.client()
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/jobs/99", 404),
        ("GET", "/jobs/0", 422),
        ("GET", f"/jobs/{10**30}", 422),
        ("GET", "/pictures/99/file", 404),
        ("PUT", "/jobs", 405),
        ("GET", f"/jobs?offset={10**30}", 422),
    ):
        answer = client.request(method, path)
        assert answer.status_code == status, path
        assert answer.json()["error"]["messages"].keys() == {"en", "zh"}


def test_a_fault_of_ours_is_said_without_our_insides(here, monkeypatch, caplog):
    monkeypatch.setattr(here.house.studio, "vaes", lambda: 1 / 0)
    answer = here.client().get("/names")
    assert answer.status_code == 500
    assert "ZeroDivision" not in answer.text and "report it" in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_the_document_is_complete(here, plugins):
    """Each operation says what it does, has an example of its answer, and declares what it refuses."""
    found = describe(here.app, plugins)
    schemas = found["components"]["schemas"]
    operations = [
        (method, path, one) for path, each in found["paths"].items() for method, one in each.items()
    ]
    assert len(operations) == 18
    for method, path, one in operations:
        where = f"{method} {path}"
        assert one["description"] and one["tags"], where
        good = next(answer for status, answer in one["responses"].items() if status < "300")
        for kind, content in good["content"].items():
            schema = content.get("schema", {})
            name = schema.get("items", schema).get("$ref", "").rpartition("/")[2]
            shown = "example" in content or schemas.get(name, {}).get("examples")
            assert shown or kind.startswith("image/"), where
        for parameter in one.get("parameters", ()):
            assert parameter["schema"], where
    body = found["paths"]["/jobs"]["post"]["requestBody"]["content"]["application/json"]
    assert {"txt2img", "many", "extension"} <= set(body["examples"])
    assert "options.freeu" in schemas
    assert "freeu" in schemas["GenerationRequest"]["properties"]["extras"]["properties"]


def test_every_example_of_a_request_is_taken(here, plugins, monkeypatch):
    monkeypatch.setattr(here.house.plugins, "check", plugins.check)
    body = describe(here.app, plugins)["paths"]["/jobs"]["post"]["requestBody"]
    for example in body["content"]["application/json"]["examples"].values():
        value = {**example["value"], "sampler": "euler_a"}
        answer = here.client().post("/jobs", json=value)
        assert answer.status_code == 202, answer.text
