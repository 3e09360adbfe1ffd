"""Poses, drawn as the openpose control models know them: those that come as JSON (OpenPose's format), and detected ones."""

import colorsys
import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import cv2
import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from modules.plugins import problem

from .preprocess import Array

MOST_FRAMES, MOST_PEOPLE = 16, 64
_BODY, _HAND, _MOST_FACE = 18, 21, 128
_LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
"""Neck, shoulders, arms, legs, nose, eyes, ears: numbers of COCO's 18 points, in the order of their colours."""
_FINGERS = tuple(
    (0 if joint == 0 else 4 * finger + joint, 4 * finger + joint + 1)
    for finger in range(5)
    for joint in range(4)
)

Number = Annotated[float, Field(ge=-1e5, le=1e5, allow_inf_nan=False)]
Numbers = Annotated[list[Number], Field(max_length=3 * _MOST_FACE)]
Point = tuple[float, float]


class Person(BaseModel):
    """Points as x, y and how sure they are, one after the other; 0 is for a point that is not seen."""

    model_config = ConfigDict(extra="ignore")

    pose_keypoints_2d: Numbers | None = None
    hand_left_keypoints_2d: Numbers | None = None
    hand_right_keypoints_2d: Numbers | None = None
    face_keypoints_2d: Numbers | None = None


class Frame(BaseModel):
    """One picture. Points lie in pixels of the canvas, or, where all are from 0 to 1, in shares of it."""

    model_config = ConfigDict(extra="ignore")

    people: list[Person] = Field(default_factory=list, max_length=MOST_PEOPLE)
    animals: list[Any] = Field(default_factory=list, max_length=MOST_PEOPLE)
    canvas_width: int = Field(ge=8, le=4096)
    canvas_height: int = Field(ge=8, le=4096)


def drawn(frame: Frame) -> Image.Image:
    """The map, RGB on black.

    Raises:
        UserError: a list of points has another length than its kind has, or there are animals.
    """
    if frame.animals:
        raise problem(
            f"There are {len(frame.animals)} animals in the pose; only people are drawn.",
            f"姿态中有 {len(frame.animals)} 个动物；只能绘制人物。",
        )
    canvas = np.zeros((frame.canvas_height, frame.canvas_width, 3), np.uint8)
    for person in frame.people:
        _body(canvas, _points(frame, "pose_keypoints_2d", person.pose_keypoints_2d, _BODY))
        for side in ("left", "right"):
            name = f"hand_{side}_keypoints_2d"
            _hand(canvas, _points(frame, name, getattr(person, name), _HAND))
        _face(canvas, _points(frame, "face_keypoints_2d", person.face_keypoints_2d))
    return Image.fromarray(canvas)


def drawn_poses(people: Iterable[Any], width: int, height: int) -> Array:
    """The map of what controlnet-aux's `OpenposeDetector.detect_poses` found, (height, width, 3), RGB on black.

    Args:
        people: its `PoseResult`s: points with `x` and `y` in shares of the picture. A point of the body that is not
            seen is None; one of a hand or face lies at the picture's edge or beyond.
    """

    def placed(points: Iterable[Any] | None, *, inside: bool = True) -> list[Point | None]:
        found = [point and (point.x * width, point.y * height) for point in points or ()]
        return [
            point if point is None or not inside or min(_pixel(point)) > 0 else None
            for point in found
        ]

    canvas = np.zeros((height, width, 3), np.uint8)
    for person in people:
        _body(canvas, placed(person.body.keypoints, inside=False))
        _hand(canvas, placed(person.left_hand))
        _hand(canvas, placed(person.right_hand))
        _face(canvas, placed(person.face))
    return canvas


def _points(
    frame: Frame, name: str, numbers: Sequence[float] | None, count: int | None = None
) -> list[Point | None]:
    """In pixels; empty where there are none."""
    if not numbers:
        return []
    wanted = 3 * count if count is not None else len(numbers) // 3 * 3
    if len(numbers) != wanted:
        raise problem(
            f"{name} has {len(numbers)} numbers; it wants "
            f"{wanted if count is not None else 'a multiple of 3'}: x, y and certainty of each point.",
            f"{name} 有 {len(numbers)} 个数字；应为 {wanted if count is not None else '3 的倍数'}：每个点的 x、y 与置信度。",
        )
    rows = [numbers[at : at + 3] for at in range(0, len(numbers), 3)]
    seen = [(x, y) for x, y, sure in rows if sure > 0]
    shares = all(0 <= x <= 1 and 0 <= y <= 1 for x, y in seen)
    across, down = (frame.canvas_width, frame.canvas_height) if shares else (1, 1)
    return [(x * across, y * down) if sure > 0 else None for x, y, sure in rows]


def _body(canvas: Array, points: Sequence[Point | None]) -> None:
    if not points:
        return
    for number, (first, second) in enumerate(_LIMBS):
        one, other = points[first], points[second]
        if one is None or other is None:
            continue
        middle = int((one[0] + other[0]) / 2), int((one[1] + other[1]) / 2)
        length = math.dist(one, other)
        angle = math.degrees(math.atan2(one[1] - other[1], one[0] - other[0]))
        limb: Any = cv2.ellipse2Poly(middle, (int(length / 2), 4), int(angle), 0, 360, 1)
        cv2.fillConvexPoly(canvas, limb, _hue(number, _BODY, 0.6))
    for number, point in enumerate(points):
        if point is not None:
            cv2.circle(canvas, _pixel(point), 4, _hue(number, _BODY), thickness=-1)


def _hand(canvas: Array, points: Sequence[Point | None]) -> None:
    if not points:
        return
    for number, (first, second) in enumerate(_FINGERS):
        one, other = points[first], points[second]
        if one is not None and other is not None:
            colour = _hue(number, len(_FINGERS))
            cv2.line(canvas, _pixel(one), _pixel(other), colour, thickness=2)
    for point in points:
        if point is not None:
            cv2.circle(canvas, _pixel(point), 4, (0, 0, 255), thickness=-1)


def _face(canvas: Array, points: Sequence[Point | None]) -> None:
    for point in points:
        if point is not None:
            cv2.circle(canvas, _pixel(point), 3, (255, 255, 255), thickness=-1)


def _hue(number: int, count: int, light: float = 1.0) -> tuple[int, int, int]:
    """A colour of the rainbow, RGB."""
    red, green, blue = (
        int(round(255 * level) * light) for level in colorsys.hsv_to_rgb(number / count, 1, 1)
    )
    return red, green, blue


def _pixel(point: Point) -> tuple[int, int]:
    return int(point[0]), int(point[1])
