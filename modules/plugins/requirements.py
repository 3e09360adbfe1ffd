"""Python packages that an extension asks for, and whether they are here."""

from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

FOLDER = ".python"
"""In the extension's folder: packages that were installed for it alone."""


def parse(text: str) -> Requirement:
    """A requirement by name and version.

    Raises:
        ValueError: it is none, or it names an address to fetch code from.
    """
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(f"{text!r} is no requirement such as 'numpy>=2'") from error
    if requirement.url:
        raise ValueError(f"{text!r} names an address; name a package and its versions")
    return requirement


def missing(requires: Iterable[str], folder: Path | None = None) -> Iterator[str]:
    """Those that are neither in the environment nor in the extension's own `.python`, in the versions asked for."""
    found = installed(folder)
    for text in requires:
        requirement = parse(text)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        version = found.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            yield text


def installed(folder: Path | None = None) -> dict[str, str]:
    """Version by package name, of the environment and, where the environment has none, of the extension's own."""
    found: dict[str, str] = {}
    own = metadata.distributions(path=[str(folder / FOLDER)]) if folder is not None else ()
    for each in (*own, *metadata.distributions()):
        name = each.metadata["Name"]
        if name:
            found[canonicalize_name(name)] = each.version
    return found
