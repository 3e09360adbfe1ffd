"""Hashes of models."""

import hashlib
import os

import pytest

from modules.library import hashes as module
from modules.library.hashes import Hashes
from modules.library.scan import read_card

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def counted(monkeypatch):
    """How often weights were read."""
    reads = []
    real = module._hash
    monkeypatch.setattr(module, "_hash", lambda files: (reads.append(files), real(files))[1])
    return reads


def test_the_hash_is_that_of_the_denoiser_s_file(tiny, tmp_path):
    expected = hashlib.sha256((tiny / UNET).read_bytes()).hexdigest()
    hashes = Hashes(tmp_path / "data")
    assert hashes.sha256(read_card(tiny)) == expected
    assert hashes.short(read_card(tiny)) == expected[:10]


def test_a_file_is_read_once_also_by_the_next_process(tiny, tmp_path, counted):
    for _ in range(2):
        Hashes(tmp_path).sha256(read_card(tiny))
    assert len(counted) == 1


def test_a_changed_file_is_read_again(tiny, tmp_path, counted):
    hashes = Hashes(tmp_path)
    first = hashes.sha256(read_card(tiny))
    data = bytearray((tiny / UNET).read_bytes())
    data[-1] ^= 1
    (tiny / UNET).write_bytes(data)
    os.utime(tiny / UNET, ns=(1, 1))
    assert hashes.sha256(read_card(tiny)) != first
    assert len(counted) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"x": 1}', b"\xff\xfe"])
def test_a_damaged_memory_is_made_anew(tiny, tmp_path, content):
    (tmp_path / "hashes.json").write_bytes(content)
    hashes = Hashes(tmp_path)
    assert hashes.sha256(read_card(tiny)) == hashes.sha256(read_card(tiny))
    assert b"sha256" in (tmp_path / "hashes.json").read_bytes()


def test_a_disk_that_cannot_be_written_does_not_matter(tiny, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert len(Hashes(tmp_path / "file").sha256(read_card(tiny))) == 64
