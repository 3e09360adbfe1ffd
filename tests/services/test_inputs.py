"""Pictures that are handed in: kept once, checked, the same pixels under the same name."""

import hashlib
import io
import struct
import threading
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from modules.errors import LimitError, StorageError, UserError
from modules.services import inputs
from modules.services.inputs import InputPictures
from tests.services.fakes import FaultyDisk


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(mode="RGB", size=(9, 7)):
    levels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    return (
        Image.fromarray(levels, "RGBA").convert(mode) if mode != "RGBA" else Image.fromarray(levels)
    )


@pytest.fixture
def store(tmp_path):
    return InputPictures(tmp_path / "inputs")


def test_the_same_pixels_have_the_same_name_whatever_the_file(store):
    image = noise()
    names = {
        store.add(encoded(image)),
        store.add(encoded(image, compress_level=9)),
        store.add(encoded(image, "WEBP", lossless=True)),
        store.keep(image.convert("RGBA")),
    }
    assert len(names) == 1
    assert len(list(store.folder.iterdir())) == 1
    assert store.open(names.pop()).tobytes() == image.tobytes()
    assert store.add(encoded(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))) not in names


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "LA", "1", "CMYK"])
def test_every_mode_becomes_plain(store, mode):
    kind = "JPEG" if mode == "CMYK" else "PNG"
    found = store.open(store.add(encoded(noise(mode), kind)))
    assert found.mode == ("RGBA" if mode in ("RGBA", "LA", "P") else "RGB")
    assert store.size(store.add(encoded(noise(mode), kind))) == (9, 7)


def test_sixteen_bits_of_grey_are_scaled(store):
    levels = Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    found = store.open(store.add(encoded(levels)))
    assert [found.getpixel((x, 0))[0] for x in range(3)] == pytest.approx([0, 128, 255], abs=1)


def test_a_photo_is_turned_upright_and_tells_nothing(store):
    image = Image.new("RGB", (20, 10), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a camera"
    name = store.add(encoded(image, "JPEG", exif=exif))
    assert store.size(name) == (10, 20)
    with Image.open(store.path(name)) as kept:
        assert not kept.getexif() and not kept.info


def bomb(width, height):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (bomb(13000, 13000), LimitError, "pixels"),
        (bomb(60000, 60000), LimitError, "pixels"),
        (b"", UserError, "not a picture"),
        (b"GIF89a", UserError, "not a picture"),
        (b"%PDF-1.7 and so on", UserError, "not a picture"),
        (encoded(noise(size=(80, 80)))[:2000], UserError, "damaged or cut short"),
        (b"x" * 64_000_001, LimitError, "bytes"),
    ],
    ids=["bomb", "larger", "empty", "gif", "pdf", "cut", "bytes"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_cannot_be_taken_is_said(store, data, kind, words):
    with pytest.raises(kind, match=words):
        store.add(data)
    assert not store.folder.exists() or not list(store.folder.iterdir())


@pytest.mark.parametrize("name", ["0" * 64, "../../etc/passwd", "", "A" * 64, "0" * 63])
def test_there_is_only_what_was_handed_in(store, name):
    for ask in (store.open, store.size, store.path):
        with pytest.raises(UserError, match="not here any more"):
            ask(name)


def test_a_file_that_shows_something_else_is_damaged(store):
    name = store.add(encoded(noise()))
    store.path(name).write_bytes(encoded(Image.new("RGB", (9, 7), "red")))
    with pytest.raises(UserError, match="shows something else"):
        store.open(name)


def test_a_full_disk_leaves_nothing(tmp_path):
    store = InputPictures(tmp_path / "inputs", FaultyDisk("write"))
    with pytest.raises(StorageError, match="disk is full"):
        store.add(encoded(noise()))
    assert not list((tmp_path / "inputs").iterdir())


def test_old_pictures_go_unless_they_are_kept(store):
    one, two = store.add(encoded(noise())), store.add(encoded(noise("L")))
    assert store.clean(3600) == 0
    assert store.clean(0, keep=frozenset({one})) == 1
    assert store.open(one) and not (store.folder / f"{two}.png").exists()


def test_the_name_is_the_hash_of_size_mode_and_pixels_however_many(store, monkeypatch):
    image = noise(size=(37, 53))
    whole = hashlib.sha256(b"RGB 37x53\n" + image.tobytes()).hexdigest()
    assert store.keep(image) == whole
    monkeypatch.setattr(inputs, "_STRIP", 100)
    assert store.keep(image) == whole


def test_a_large_picture_is_not_copied_again_and_again(store):
    data = encoded(Image.new("1", (3000, 3000)))
    store.add(data)  # what is loaded once is loaded
    tracemalloc.start()
    try:
        store.add(data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (
        most < 3000 * 3000
    )  # Pillow's own pixels apart; all of them as bytes are three times as much


def test_large_pictures_are_decoded_one_at_a_time(store, monkeypatch):
    monkeypatch.setattr(inputs, "_LARGE", 50)
    at_once, most, lock = 0, 0, threading.Lock()
    second = threading.Event()
    plain = inputs._plain

    def watched(image):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
            if at_once > 1:
                second.set()
        second.wait(0.2)
        found = plain(image)
        with lock:
            at_once -= 1
        return found

    monkeypatch.setattr(inputs, "_plain", watched)
    threads = [
        threading.Thread(target=store.add, args=(encoded(noise(size=(9, 7 + number))),))
        for number in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == 1
    assert len(list(store.folder.iterdir())) == 3
