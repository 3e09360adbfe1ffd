"""A guest sees what a preprocessor makes of his picture, at the price of a picture."""

import io

from PIL import Image
from starlette.testclient import TestClient

from modules.api.rules import rule_for
from tests.api.access.conftest import PASSWORD, Shared


def test_a_guest_previews_what_a_unit_makes_of_his_picture(shared: Shared, guest: TestClient):
    file = io.BytesIO()
    Image.new("RGB", (48, 32), "teal").save(file, "PNG")
    name = guest.post("/ui/inputs", content=file.getvalue()).json()["id"]
    asked = {"unit": {"image": name, "module": "canny"}, "width": 64, "height": 32}
    made = guest.post("/controlnet/preview", json=asked)
    assert made.status_code == 200, made.text
    assert made.headers["x-content-type-options"] == "nosniff"
    assert Image.open(io.BytesIO(made.content)).size == (64, 32)
    # Weights are not fetched for him: it is said which are missing.
    lacking = guest.post(
        "/controlnet/preview", json={**asked, "unit": {"image": name, "module": "mlsd"}}
    )
    assert "mlsd" in lacking.json()["error"]["zh"]
    unknown = guest.post(
        "/controlnet/preview", json={**asked, "unit": {"image": "0" * 64, "module": "canny"}}
    )
    assert "error" in unknown.json()
    # Of somebody else's picture nobody sees a map either.
    other = shared.client(secret=PASSWORD)
    other.get("/")
    refused = other.post("/controlnet/preview", json=asked)
    assert "error" in refused.json()


def test_it_costs_what_other_programs_pay_for_it():
    costs = {rule_for("POST", f"/controlnet/{name}").cost for name in ("preview", "detect")}
    assert costs == {20}
