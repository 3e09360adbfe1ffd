"""The environment in which models are read: no network, no code of theirs, no secrets."""

from modules.services.harden import child_environment, harden

DIRTY = {
    "PATH": "/bin",
    "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
    "GRADIO_SHARE": "true",
    "HF_TOKEN": "secret",
    "HUGGING_FACE_HUB_TOKEN": "secret",
    "DIFFUSERS_DISABLE_REMOTE_CODE": "0",
    "HF_HUB_OFFLINE": "0",
}


def test_the_same_for_this_process_as_for_the_worker():
    own = dict(DIRTY)
    harden(own)
    assert own == child_environment(DIRTY)
    assert own["PATH"] == "/bin"
    assert own["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
    assert own["DIFFUSERS_DISABLE_REMOTE_CODE"] == "1"
    assert own["HF_HUB_OFFLINE"] == "1"
    assert "secret" not in own.values()
    assert not any(name.startswith(("GRADIO_", "TORCH_FORCE_NO")) for name in own)


def test_the_environment_of_the_child():
    given = {
        "PATH": "/bin",
        "HF_TOKEN": "secret",
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
        "HF_HUB_OFFLINE": "0",
    }
    found = child_environment(given)
    assert found["PATH"] == "/bin"
    assert found["HF_HUB_OFFLINE"] == found["DIFFUSERS_DISABLE_REMOTE_CODE"] == "1"
    assert found["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
    assert not found.keys() & {"HF_TOKEN", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"}
