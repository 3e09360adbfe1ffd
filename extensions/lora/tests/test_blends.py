"""Blends: saved, sent, recalled, applied; whatever somebody sends as one."""

import json
from pathlib import Path

import pytest

from extensions.lora.blends import Blend, Blends, picture_bytes, picture_data, read_blend
from extensions.lora.rows import Row
from modules.errors import UserError

MOON = Blend(
    name="Moon ink",
    note="for nights",
    rows=(
        Row(name="ink", weight=0.5),
        Row(name="glow", te=0.2, start=0.5),
        Row(name="x", on=False),
    ),
    picture=picture_data(b"RIFF1234"),
)


@pytest.fixture
def blends(tmp_path: Path) -> Blends:
    return Blends(tmp_path / "blends")


def test_it_comes_back_as_it_was_saved(blends: Blends) -> None:
    assert blends.names() == ()
    blends.save(MOON)
    assert blends.names() == ("Moon ink",)
    assert blends.get("moon INK") == MOON
    assert picture_bytes(MOON.picture) == b"RIFF1234"


def test_it_can_be_sent_as_one_file(blends: Blends) -> None:
    assert read_blend(MOON.to_json()) == MOON


def test_nothing_is_written_over_unasked(blends: Blends) -> None:
    blends.save(MOON)
    other = MOON.model_copy(update={"name": "moon ink", "note": "other"})
    with pytest.raises(UserError, match=r"There is a blend 'moon ink' already"):
        blends.save(other)
    assert blends.get("Moon ink") == MOON
    blends.save(MOON.model_copy(update={"note": "new"}), over=True)
    assert blends.get("Moon ink").note == "new"
    blends.save(other, over=True)  # the same name in another case is the same blend
    assert blends.names() == ("moon ink",) and blends.get("Moon ink").note == "other"


def test_its_rows_take_its_place_at_its_weight(blends: Blends) -> None:
    blends.save(MOON)
    rows = (
        Row(name="wash"),
        Row(name="Moon ink", kind="blend", weight=0.8),
        Row(name="b", on=False, kind="blend"),
    )
    found = blends.expand(rows)
    assert found == (
        Row(name="wash"),
        Row(name="ink", weight=0.4),
        Row(name="glow", weight=0.8, te=found[2].te, start=0.5),
    )
    assert found[2].te == pytest.approx(0.16)


def test_one_that_is_missing_is_named(blends: Blends) -> None:
    blends.save(MOON)
    with pytest.raises(UserError, match=r"no blend 'sun'. There are: Moon ink"):
        blends.get("sun")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no blend"),
        ("[]", "noisette-blend"),
        ('{"format": "workflow"}', "noisette-blend"),
        ("[" * 100_000, "no blend"),
        ("x" * 1_000_001, "1000001 bytes"),
        (MOON.to_json().replace("Moon ink", "../evil"), "name"),
        (MOON.to_json().replace("Moon ink", ".hidden"), "name"),
        (MOON.to_json().replace("Moon ink", ""), "name"),
        (MOON.to_json().replace("image/webp", "text/html"), "picture"),
        (MOON.to_json().replace("data:", "https://x/"), "picture"),
        (MOON.to_json().replace('"weight": 0.5', '"weight": 1e9'), "weight"),
        (json.dumps({**json.loads(MOON.to_json()), "version": 2}), "version"),
        (json.dumps({**json.loads(MOON.to_json()), "rows": [{"name": "a", "kind": "blend"}]}), "rows"),
        (json.dumps({**json.loads(MOON.to_json()), "rows": [{"name": "a"}] * 65}), "rows"),
    ],
)  # fmt: skip
def test_what_is_none_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(UserError) as caught:
        read_blend(text)
    assert why in str(caught.value)
    assert caught.value.message("zh") != str(caught.value)


def test_a_damaged_file_is_named_by_its_fault(blends: Blends, tmp_path: Path) -> None:
    blends.save(MOON)
    (tmp_path / "blends" / "Moon ink.json").write_text('{"format": ')
    with pytest.raises(UserError, match="no blend"):
        blends.get("Moon ink")
