"""Getting the weights of preprocessors, when somebody asks for them, and how far that is."""

import threading
from collections.abc import Callable
from typing import Any

from modules.plugins import Host, UserError, problem

from .detectors import folder, missing, need_packages
from .modules_list import Module


class Fetching:
    """One download at a time, in a thread of its own; what was fetched stays when the next file fails."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._name = ""
        self._share = 0.0
        self._error: UserError | None = None

    def begin(self, module: Module) -> None:
        """Start; a second call while one runs changes nothing."""
        with self._lock:
            if self._name:
                return
            self._name, self._share, self._error = module.name, 0.0, None
        threading.Thread(target=self._work, args=(module,), daemon=True).start()

    def state(self) -> tuple[str, float, UserError | None]:
        """What is being fetched ("" for nothing), how much of it is there (0 to 1), and what went wrong last."""
        with self._lock:
            return self._name, self._share, self._error

    def run(self, module: Module, progress: Callable[[float], None]) -> list[str]:
        """Fetch what is missing, and wait; the files' names.

        Raises:
            UserError: a file cannot be had, or a Python package is missing that the preprocessor needs.
        """
        need_packages(module)
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError

        wanted = missing(self._host, module)
        if module.weights is None or not wanted:
            return []
        place = folder(self._host)
        place.mkdir(parents=True, exist_ok=True)
        most = module.weights.megabytes * 1e6
        for number, name in enumerate(wanted):

            def told(done: float, at: int = number) -> None:
                progress(min(1.0, (at + min(1.0, done * len(wanted) / most)) / len(wanted)))

            try:
                hf_hub_download(  # nosec B615  # only when the owner asks for it, from where the guide says
                    module.weights.repository,
                    name,
                    local_dir=place,
                    tqdm_class=_counting(told),
                )
            except (OSError, HfHubHTTPError, ValueError) as error:
                raise problem(
                    f"{name} could not be fetched ({error}). Look whether this computer reaches "
                    f"the network, or put the file into {place} yourself.",
                    f"无法获取 {name}（{error}）。请检查网络连接，或自行将文件放入 {place}。",
                ) from error
        progress(1.0)
        return wanted

    def _work(self, module: Module) -> None:
        error: UserError | None = None
        try:
            self.run(module, self._tell)
        except UserError as raised:
            error = raised
        finally:
            with self._lock:
                self._name, self._error = "", error

    def _tell(self, share: float) -> None:
        with self._lock:
            self._share = share


def _counting(told: Callable[[float], None]) -> Any:
    """tqdm's class, which writes nothing and tells the bytes that are there."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    class Counting(tqdm):
        def __init__(self, *args: Any, **named: Any) -> None:
            named.pop("name", None)
            super().__init__(*args, **{**named, "disable": False, "file": _Nowhere()})

        def update(self, n: float | None = 1) -> bool | None:
            found = super().update(n)
            told(self.n)
            return found

    return Counting


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, text: str) -> int:
        """Thrown away."""
        return len(text)

    def flush(self) -> None:
        """Nothing to do."""
