"""What an extension's own tests run on, as a plugin of pytest.

In a test module: `pytest_plugins = ["modules.plugins.testing"]`. That gives the fixture `bench`, a `Bench` with the
extension whose `tests` folder the module lies in. Nothing has to be installed for it, and it works from any folder.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.plugins.bench import MODEL, MODELS, PLAIN, Bench

__all__ = ["MODEL", "MODELS", "PLAIN", "Bench", "bench"]


@pytest.fixture(scope="module")
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The extension that the test module belongs to."""
    made = Bench(Path(request.path).parent.parent)
    reason = made.plugins.reports[0].reason
    assert made.active, str(reason)
    yield made
    made.close()
