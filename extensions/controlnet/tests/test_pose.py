"""Poses as JSON and detected ones: drawn as controlnet-aux draws them, and refused where they are none."""

import base64
import colorsys
import io
import json
import math
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from extensions.controlnet.api import router
from extensions.controlnet.pose import Frame, drawn, drawn_poses
from modules.errors import UserError
from modules.plugins.host import Host

WIDE, HIGH = 96, 128
BODY = [
    (0.5, 0.1), (0.5, 0.25), (0.35, 0.25), (0.25, 0.4), (0.2, 0.55), (0.65, 0.25), (0.75, 0.4), (0.8, 0.55), (0.42, 0.55),
    (0.4, 0.75), (0.39, 0.95), (0.58, 0.55), (0.6, 0.75), (0.61, 0.95), (0.46, 0.07), (0.54, 0.07), (0.42, 0.09), (0.58, 0.09),
]  # fmt: skip
HAND = [(0.2 + 0.01 * n, 0.55 + 0.02 * math.sin(n)) for n in range(21)]
FACE = [(0.45 + 0.001 * n, 0.1 + 0.01 * math.cos(n)) for n in range(70)]


def flat(points: list[tuple[float, float]], missing: tuple[int, ...] = ()) -> list[float]:
    return [
        each
        for n, (x, y) in enumerate(points)
        for each in ((0, 0, 0) if n in missing else (x, y, 1))
    ]


def frame(*people: dict[str, Any]) -> dict[str, Any]:
    return {"people": list(people), "canvas_width": WIDE, "canvas_height": HIGH}


def test_it_is_what_the_detector_would_have_drawn() -> None:
    pytest.importorskip("controlnet_aux")
    from controlnet_aux.open_pose import PoseResult, draw_poses
    from controlnet_aux.open_pose.body import BodyResult, Keypoint

    missing = (4, 13, 17)
    body = [None if n in missing else Keypoint(x, y) for n, (x, y) in enumerate(BODY)]
    whole = BodyResult(body, 1.0, len(body) - len(missing))
    found = PoseResult(whole, None, None, [Keypoint(*each) for each in FACE])
    theirs = draw_poses([found], HIGH, WIDE, draw_hand=False)  # for hands it wants matplotlib
    person = {"pose_keypoints_2d": flat(BODY, missing), "face_keypoints_2d": flat(FACE)}
    ours = np.asarray(drawn(Frame.model_validate(frame(person))))
    assert theirs.any() and (ours == theirs).all()


def test_a_hand_is_drawn_by_the_formula_of_the_detector() -> None:
    """Its own drawing imports matplotlib for one formula: fully saturated hues, which colorsys has too."""
    hand = [(0.1 + 0.17 * (n % 5), 0.08 + 0.04 * n) for n in range(21)]
    side = 400
    expected = np.zeros((side, side, 3), np.uint8)
    spots = [(int(x * side), int(y * side)) for x, y in hand]
    bones = [(0 if n % 4 == 0 else n, n + 1) for n in range(20)]
    for number, (first, second) in enumerate(bones):
        colour = [255 * level for level in colorsys.hsv_to_rgb(number / 20, 1.0, 1.0)]
        cv2.line(expected, spots[first], spots[second], colour, thickness=2)
    for spot in spots:
        cv2.circle(expected, spot, 4, (0, 0, 255), thickness=-1)
    person = {"hand_right_keypoints_2d": flat(hand)}
    asked = {"people": [person], "canvas_width": side, "canvas_height": side}
    assert (np.asarray(drawn(Frame.model_validate(asked))) == expected).all()


def test_detected_poses_are_drawn_as_the_detector_draws_them() -> None:
    pytest.importorskip("controlnet_aux")
    from controlnet_aux.open_pose import PoseResult, draw_poses
    from controlnet_aux.open_pose.body import BodyResult, Keypoint

    body = [None if n in (0, 9) else Keypoint(x, y) for n, (x, y) in enumerate(BODY)]
    body[16] = Keypoint(0.0, 0.003)  # a body's point at the edge is drawn
    lost = Keypoint(-1 / WIDE, -1 / HIGH)
    face = [
        lost if n % 9 == 0 else Keypoint(np.float32(x), np.float32(y))
        for n, (x, y) in enumerate(FACE)
    ]
    face.append(Keypoint(0.0, 0.5))  # a face's is not: it is what was not found
    people = [
        PoseResult(BodyResult(body, 1.0, 16), None, None, face),
        PoseResult(BodyResult([None] * 18, 0.0, 0), None, None, None),
    ]
    ours = drawn_poses(people, WIDE, HIGH)
    assert ours.any() and (ours == draw_poses(people, HIGH, WIDE, draw_hand=False)).all()
    hands = [PoseResult(people[1].body, [lost] * 21, None, None)]
    assert not drawn_poses(hands, WIDE, HIGH).any()
    found = [Keypoint(x, y) for x, y in HAND]
    for hands in (
        [PoseResult(people[1].body, found, None, None)],
        [PoseResult(people[1].body, None, found, None)],
    ):
        asked = Frame.model_validate(frame({"hand_left_keypoints_2d": flat(HAND)}))
        assert (drawn_poses(hands, WIDE, HIGH) == np.asarray(drawn(asked))).all()


def test_shares_and_pixels_are_the_same() -> None:
    shares = {"pose_keypoints_2d": flat(BODY), "hand_left_keypoints_2d": flat(HAND)}
    pixels = {
        name: [value * (WIDE, HIGH, 1)[n % 3] for n, value in enumerate(values)]
        for name, values in shares.items()
    }
    made = drawn(Frame.model_validate(frame(shares)))
    assert made.size == (WIDE, HIGH)
    assert made.tobytes() == drawn(Frame.model_validate(frame(pixels))).tobytes()


def test_hands_faces_and_people_are_each_drawn() -> None:
    nothing = np.asarray(drawn(Frame.model_validate(frame())))
    assert not nothing.any()
    seen = {nothing.tobytes()}
    for person in (
        {"hand_left_keypoints_2d": flat(HAND)},
        {"face_keypoints_2d": flat(FACE)},
        {"pose_keypoints_2d": flat(BODY)},
        {"pose_keypoints_2d": flat(BODY), "hand_right_keypoints_2d": flat(HAND)},
    ):
        seen.add(np.asarray(drawn(Frame.model_validate(frame(person)))).tobytes())
    assert len(seen) == 5
    wide = [(0.1 + 0.04 * (n % 5), 0.1 + 0.04 * n) for n in range(21)]
    large = {**frame({"hand_left_keypoints_2d": flat(wide)}), "canvas_width": 800}
    hand = np.asarray(drawn(Frame.model_validate({**large, "canvas_height": 800})))
    colours = {tuple(each) for each in hand.reshape(-1, 3).tolist()}
    assert (0, 0, 255) in colours and len(colours) == 22, "points, and a colour for each bone"
    none = {"pose_keypoints_2d": [0.0] * 54, "hand_left_keypoints_2d": None, "version": 1}
    assert not np.asarray(drawn(Frame.model_validate(frame(none)))).any()


def test_far_outside_is_cut_off() -> None:
    far = [(x * 90_000 - 40_000, y * 90_000 - 40_000) for x, y in BODY]
    drawn(Frame.model_validate(frame({"pose_keypoints_2d": flat(far)})))


@pytest.mark.parametrize(
    "name", ["pose_keypoints_2d", "hand_left_keypoints_2d", "face_keypoints_2d"]
)
def test_a_wrong_count_is_said(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} has 4 numbers"):
        drawn(Frame.model_validate(frame({name: [1.0, 1.0, 1.0, 1.0]})))


def test_over_http(host: Host) -> None:
    app = FastAPI()
    app.include_router(router(host, None))

    def refused(request: Any, error: Exception) -> Any:
        from fastapi.responses import JSONResponse

        return JSONResponse({"detail": str(error)}, 422)

    app.add_exception_handler(UserError, refused)
    client = TestClient(app)

    def ask(body: Any) -> Any:
        return client.post("/controlnet/render_openpose_json", json=body)

    answer = ask([frame({"pose_keypoints_2d": flat(BODY)}), frame()]).json()
    assert answer["info"] == "Success" and len(answer["images"]) == 2
    first = Image.open(io.BytesIO(base64.b64decode(answer["images"][0])))
    expected = drawn(Frame.model_validate(frame({"pose_keypoints_2d": flat(BODY)})))
    assert first.convert("RGB").tobytes() == expected.tobytes()
    for body in (
        [],
        {},
        [7],
        [{"people": []}],
        [{**frame(), "canvas_width": 10**9}],
        [{**frame(), "animals": [[1, 2, 3]]}],
        [frame({"pose_keypoints_2d": [1e300] * 54})],
        [frame({"pose_keypoints_2d": ["x"] * 54})],
        [frame(*[{}] * 65)],
        [frame()] * 17,
    ):
        refusal = ask(body)
        assert refusal.status_code == 422 and refusal.json()["detail"], body
    wrong = client.post(
        "/controlnet/render_openpose_json",
        content=json.dumps([frame({"pose_keypoints_2d": [float("nan")] * 54})]),
        headers={"content-type": "application/json"},
    )
    assert wrong.status_code == 422
