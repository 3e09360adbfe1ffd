"""What holds for every test: the network is closed, chance is seeded, the user's folders and settings are out of reach.

Nothing here imports torch or gradio; a test that needs them pays for them itself.
"""

import os
import random
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

# Read by libraries when they are imported, and by the processes that tests start: so it is set before any test module.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HOME": str(Path(tempfile.gettempdir()) / "noisette-tests-empty-hf-home"),
    "NO_PROXY": "127.0.0.1,localhost,::1",
    # torch and numpy; more threads than this only fight on a small machine, or with another worker
    "OMP_NUM_THREADS": "1" if "PYTEST_XDIST_WORKER" in os.environ else "2",
    "MKL_NUM_THREADS": "1" if "PYTEST_XDIST_WORKER" in os.environ else "2",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUTF8": "1",
}
SCRUBBED = {
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "GRADIO_SERVER_NAME",
    "GRADIO_SERVER_PORT",
    "GRADIO_ROOT_PATH",
}
KEPT = {"NOISETTE_REQUIRE_BROWSER"}

for name in list(os.environ):
    if name.upper() in SCRUBBED or (name.startswith("NOISETTE_") and name not in KEPT):
        del os.environ[name]
os.environ.update(ENVIRONMENT)

hypothesis_settings.register_profile("noisette", derandomize=True, deadline=None, max_examples=60)
hypothesis_settings.load_profile("noisette")

LOOPBACK = {"127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "", None}


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker for each core for the whole suite, four at most, since each holds torch; none for a part of it."""
    whole = config.args_source == pytest.Config.ArgsSource.TESTPATHS
    return min(os.cpu_count() or 1, 4) if whole and not config.option.collectonly else 0


def browser_path() -> str | None:
    """The Chromium of this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("CHROMIUM_PATH") or next(filter(None, map(shutil.which, names)), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests run where a browser is; NOISETTE_REQUIRE_BROWSER makes its absence a failure instead."""
    if browser_path() or os.environ.get("NOISETTE_REQUIRE_BROWSER"):
        return
    skip = pytest.mark.skip(reason="no Chromium on this machine (Debian: apt install chromium)")
    for item in items:
        if "browser" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser to drive."""
    path = browser_path()
    if path is None:
        pytest.fail("no Chromium on this machine, and NOISETTE_REQUIRE_BROWSER is set")
    return path


@pytest.fixture(autouse=True)
def closed_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this machine answers. pytest-socket guards connections (its options stand in pyproject.toml); here
    names of other hosts are refused at once instead of being looked up."""
    look_up = socket.getaddrinfo

    def only_here(host, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if name not in LOOPBACK:
            raise socket.gaierror(
                socket.EAI_NONAME, f"a test looked up {name!r}; the network is closed to tests"
            )
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", only_here)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same chance for every test, whichever ran before it."""
    random.seed(0)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """What a test sets in the environment ends with it."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys() - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def tmp_data_dir(tmp_path: Path) -> Path:
    """An empty data folder as `Settings.data_dir` expects it; its name has a space and Chinese characters."""
    folder = tmp_path / "data 数据"
    for part in ("outputs", "data", "models"):
        (folder / part).mkdir(parents=True)
    return folder
