"""Gradio 6.31 copies any local file that a request names into its served folder, if a mounted app lets it."""

import os
from pathlib import Path

import gradio as gr
import pytest
from starlette.testclient import TestClient

from modules.ui.mount import QUEUE_LOOK_SECONDS
from modules.ui.shell import Page

SECRET = "noisette-secret-content"


def file_data(path: str) -> dict[str, object]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def endpoints(client: TestClient) -> list[dict]:
    found = client.get("/config").json()["dependencies"]
    assert len(found) > 5
    return found


@pytest.fixture
def secrets(tmp_path: Path, data_dir: Path) -> list[str]:
    own = tmp_path / "secret.txt"
    own.write_text(SECRET)
    (data_dir / "settings.json").write_text(f'{{"x": "{SECRET}"}}')
    return ["/etc/passwd", str(own), str(data_dir / "settings.json"), "file:///etc/passwd"]


def test_no_endpoint_copies_a_local_file(client: TestClient, secrets: list[str], data_dir: Path):
    cache = data_dir / "data" / "gradio"
    before = {path for path in cache.rglob("*") if path.is_file()}
    for dependency in endpoints(client):
        inputs = max(1, len(dependency["inputs"]))
        for path in secrets:
            body = {
                "data": [file_data(path)] * inputs,
                "fn_index": dependency["id"],
                "session_hash": "x",
            }
            answers = [client.post("/gradio_api/run/predict", json=body)]
            if dependency["api_name"]:
                answers.append(
                    client.post(
                        f"/gradio_api/run/{dependency['api_name']}", json={"data": body["data"]}
                    )
                )
            for answer in answers:
                assert SECRET not in answer.text
                assert "root:" not in answer.text
                assert str(cache) not in answer.text
    assert {path for path in cache.rglob("*") if path.is_file()} == before


def test_the_check_of_paths_is_on(client: TestClient, page: Page):
    assert page.blocks.has_launched


@pytest.mark.parametrize("form", ["/gradio_api/file={}", "/gradio_api/file/{}", "/file={}"])
def test_local_files_are_not_served(client: TestClient, secrets: list[str], form: str):
    for path in secrets:
        answer = client.get(form.format(path))
        assert answer.status_code in (403, 404)
        assert SECRET not in answer.text


def test_gradio_has_its_own_shut_folder(client: TestClient, page: Page, data_dir: Path):
    cache = data_dir / "data" / "gradio"
    assert os.environ["GRADIO_TEMP_DIR"] == str(cache)
    assert all(
        str(cache) == block.GRADIO_CACHE
        for block in page.blocks.blocks.values()
        if hasattr(block, "GRADIO_CACHE")
    )
    assert cache.stat().st_mode & 0o777 == 0o700
    assert "GRADIO_SHARE" not in os.environ


def test_no_handler_answers_with_a_path(client: TestClient):
    config = client.get("/config").json()
    kinds = {component["type"] for component in config["components"]}
    assert kinds & {"file", "image", "gallery", "downloadbutton", "uploadbutton"} == set()


def test_a_large_upload_is_not_even_read(client: TestClient):
    files = {"files": ("x.bin", b"0" * (65 * 2**20))}
    assert client.post("/gradio_api/upload", files=files).status_code == 404


def test_its_queue_does_not_look_a_thousand_times_a_second(page: Page):
    usual = (
        gr.Blocks()._queue.sleep_when_free
    )  # the attribute is Gradio's, and still what it looks at
    assert page.blocks._queue.sleep_when_free == QUEUE_LOOK_SECONDS >= usual
