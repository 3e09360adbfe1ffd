"""The rules that keep the program's rooms apart, read off its source.

Each rule is a function from a `Tree` of sources to complaints. `test_the_program_keeps` runs it over modules/ and
extensions/; `test_the_rule_can_fail` runs it over a small tree that breaks it.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pytest

PROJECT = Path(__file__).resolve().parent.parent

WORLD = {"schema"}
MODELS = {*WORLD, "imaging", "diffusion", "library"}
WORK = {*MODELS, "plugins", "services", "settings"}
# Which rooms a room may import, besides itself and OPEN.
ROOMS: Mapping[str, set[str]] = {
    "texts": set(),
    "errors": set(),
    "schema": set(),
    "settings": WORLD,
    "imaging": WORLD,
    "diffusion": {*WORLD, "imaging"},
    "library": MODELS,
    "plugins": MODELS,
    "services": WORK,
    "ui": WORK,
    "api": WORK,
    # Where the long-lived objects of a process are made.
    "app": {*WORK, "ui", "api", "worker_process"},
    "worker_process": {*WORK, "app"},
    # The commands start things: they stand above the app, and nothing imports them.
    "cli": {*WORK, "api", "app", "client", "doctor", "bench", "bench_leaks"},
    "client": set(),  # one file, to be copied into other programs
    "doctor": {*WORK, "app", "doctor_driver"},
    "doctor_driver": set(),
    "bench": {*WORK, "app"},
    "bench_leaks": {*WORK, "app", "bench"},
    "bench_engine": {*WORK},
}
OPEN = {"texts", "errors", ""}  # "" is the package itself: __version__

TORCH = {"torch", "torchvision", "diffusers", "transformers", "accelerate", "peft"}
TORCH |= {"spandrel", "controlnet_aux", "timm"}
WEB = {"fastapi", "starlette"}
PAGE_SIDE = {"plugin.py", "panel.py", "options.py", "__init__.py"}  # of an extension


@dataclass(frozen=True)
class Import:
    """One imported name."""

    target: str  # dotted, as far as it is a module of ours; of others the dotted name
    line: int
    when: str  # "load" with the module, "call" inside a function, "types" for the type checker only


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: PurePosixPath
    tree: ast.Module

    @property
    def name(self) -> str:
        """Its dotted name."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def in_modules(self) -> bool:
        return self.path.parts[0] == "modules"

    @property
    def room(self) -> str:
        """The part after `modules.`; the extension's name for a file of an extension."""
        return room_of(self.name)

    @property
    def is_extension_test(self) -> bool:
        return not self.in_modules and "tests" in self.path.parts

    def at(self, line: int) -> str:
        return f"{self.path}:{line}"


class Tree:
    """All sources, and who imports whom."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.sources = [
            Source(PurePosixPath(path), ast.parse(text, path))
            for path, text in sorted(files.items())
        ]
        self.by_name = {source.name: source for source in self.sources}

    @cached_property
    def program(self) -> list[Source]:
        return [source for source in self.sources if source.in_modules]

    @cached_property
    def extensions(self) -> list[Source]:
        """Files of extensions, their tests apart."""
        return [s for s in self.sources if not s.in_modules and not s.is_extension_test]

    def imports(self, source: Source) -> Iterator[Import]:
        yield from self._imports(source, source.tree.body, "load")

    def _imports(self, source: Source, body: Iterable[ast.AST], when: str) -> Iterator[Import]:
        for node in body:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, node.lineno, when)
            elif isinstance(node, ast.ImportFrom):
                base = absolute(source, node)
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    is_module = inner in self.by_name or (
                        base == "modules" and alias.name[0] != "_"
                    )
                    yield Import(inner if is_module else base, node.lineno, when)
            elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
                if node.args and isinstance(node.args[0], ast.Constant):
                    yield Import(str(node.args[0].value), node.lineno, when)
            elif isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING"):
                yield from self._imports(source, node.body, "types")
                yield from self._imports(source, node.orelse, when)
            else:
                function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                inside = "call" if function and when == "load" else when
                yield from self._imports(source, ast.iter_child_nodes(node), inside)

    def loaded_with(self, source: Source) -> dict[str, Source]:
        """Every file of ours that Python runs when it imports `source`, and who asked for it first."""
        asked: dict[str, Source] = {}
        waiting = [source]
        while waiting:
            current = waiting.pop()
            targets = [i.target for i in self.imports(current) if i.when == "load"]
            packages = [package for name in [current.name, *targets] for package in parents(name)]
            for target in [*packages, *targets]:
                if target in self.by_name and target not in asked and target != source.name:
                    asked[target] = current
                    waiting.append(self.by_name[target])
        return asked


def parents(name: str) -> Iterator[str]:
    """The packages around a module: Python runs them first."""
    parts = name.split(".")
    for length in range(1, len(parts)):
        yield ".".join(parts[:length])


def absolute(source: Source, node: ast.ImportFrom) -> str:
    """The dotted name that `from … import` starts at."""
    if not node.level:
        return node.module or ""
    package = source.path.parts[:-1]
    package = package[: len(package) - node.level + 1]
    return ".".join([*package, *([node.module] if node.module else [])])


def dotted(node: ast.AST) -> str:
    """`a.b.c` of names and attributes; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def room_of(name: str) -> str:
    """The second part of a dotted name."""
    return [*name.split("."), ""][1]


def called(node: ast.Call) -> str:
    """The last name of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else dotted(node.func)


def library(target: str) -> str:
    """The top-level package of an import."""
    return target.partition(".")[0]


# ---------------------------------------------------------------------------------------------------- the rules


def rooms_import_only_lower_rooms(tree: Tree) -> Iterator[str]:
    """schema ← imaging, diffusion ← library ← plugins ← services ← ui, api, cli ← app."""
    for source in tree.program:
        if source.room == "":
            continue
        if source.room not in ROOMS:
            yield f"{source.path}: modules.{source.room} is no room; see ROOMS in tests/test_layers.py"
            continue
        allowed = ROOMS[source.room] | OPEN | {source.room}
        for found in tree.imports(source):
            if library(found.target) == "modules":
                room = room_of(found.target)
                if room not in allowed:
                    yield f"{source.at(found.line)}: {source.room} may not import {found.target}"


def open_modules_need_no_room(tree: Tree) -> Iterator[str]:
    """What everyone may import imports no room: texts nothing of ours, errors only texts."""
    allowed = {"texts": {"texts"}, "errors": {"errors", "texts"}, "": set()}
    for source in tree.program:
        for found in tree.imports(source):
            if source.room in allowed and library(found.target) == "modules":
                room = room_of(found.target)
                if room not in allowed[source.room]:
                    yield f"{source.at(found.line)}: {source.name} is open to all rooms and may not import {room}"


def torch_stays_with_the_models(tree: Tree) -> Iterator[str]:
    """torch and what is built on it: only in diffusion, library and an extension's adapter side."""
    for source in tree.program + tree.extensions:
        if source.in_modules and source.room in {"diffusion", "library"}:
            continue
        if not source.in_modules and source.path.name not in PAGE_SIDE:
            continue  # the adapter side; that the page does not load it is the next rule
        for found in tree.imports(source):
            if library(found.target) in TORCH and (source.in_modules or found.when != "types"):
                yield f"{source.at(found.line)}: {found.target} belongs in diffusion, library or an extension's adapter.py"


def the_page_starts_without_torch(tree: Tree) -> Iterator[str]:
    """Nothing that the page's process loads imports torch with it, by however many steps."""
    heavy = {
        source.name: found
        for source in tree.sources
        for found in tree.imports(source)
        if found.when == "load" and library(found.target) in TORCH
    }
    page = [s for s in tree.program if s.room not in {"diffusion", "library", "worker_process"}]
    page += [s for s in tree.extensions if s.path.name in PAGE_SIDE]
    for source in page:
        asked = tree.loaded_with(source)
        for name in sorted(asked.keys() & heavy.keys()):
            yield f"{source.path} loads {heavy[name].target}: {name} (asked for by {asked[name].path}) imports it"


def gradio_stays_in_ui(tree: Tree) -> Iterator[str]:
    """Gradio is one face of the program; the rest does not know it."""
    for source in tree.program + tree.extensions:
        if source.room == "ui" if source.in_modules else source.path.name == "panel.py":
            continue
        for found in tree.imports(source):
            if library(found.target) in {"gradio", "gradio_client"}:
                yield f"{source.at(found.line)}: gradio belongs in modules/ui or an extension's panel.py"


def fastapi_stays_in_api(tree: Tree) -> Iterator[str]:
    """The HTTP API is another face; the app, which hands it on whole, may name its type."""
    for source in tree.program + tree.extensions:
        if source.room == "api" if source.in_modules else source.path.name == "api.py":
            continue
        for found in tree.imports(source):
            type_of_the_app = source.name == "modules.app" and found.when == "types"
            if library(found.target) in WEB and not type_of_the_app:
                yield f"{source.at(found.line)}: {found.target} belongs in modules/api or an extension's api.py"


def extensions_come_in_by_the_door(tree: Tree) -> Iterator[str]:
    """Of ours an extension imports modules.plugins and its own files."""
    for source in tree.extensions:
        for found in tree.imports(source):
            door = found.target == "modules.plugins" or found.target.startswith("modules.plugins.")
            own = found.target.split(".")[:2] == ["extensions", source.room]
            if library(found.target) in {"modules", "extensions"} and not door and not own:
                yield f"{source.at(found.line)}: an extension imports modules.plugins, not {found.target}"


def the_program_names_no_extension(tree: Tree) -> Iterator[str]:
    """What an extension brings is known by what it registers, not by its name."""
    names = {s.room for s in tree.sources if not s.in_modules and len(s.path.parts) > 2}
    for source in tree.program:
        for found in tree.imports(source):
            if library(found.target) == "extensions":
                yield f"{source.at(found.line)}: imports {found.target}"
        for node in ast.walk(source.tree):
            # "lora" and "controlnet" are first of all the field's words for kinds of weight files, and say what a file is.
            # "upscaler" is first of all a field of hires fix.
            kind = source.name.startswith(("modules.library.identify", "modules.library.control"))
            kind = kind or (isinstance(node, ast.Constant) and node.value == "upscaler")
            if isinstance(node, ast.Constant) and node.value in names and not kind:
                yield f"{source.at(node.lineno)}: names the extension {node.value!r}"


def no_import_cycles(tree: Tree) -> Iterator[str]:
    """Lazy imports count: they hide a cycle, they do not open it. Imports for the type checker alone do not run."""
    edges = {
        source.name: {
            i.target for i in tree.imports(source) if i.when != "types" and i.target in tree.by_name
        }
        for source in tree.sources
        if not source.is_extension_test
    }
    for cycle in cycles(edges):
        yield "import cycle: " + " → ".join([*cycle, cycle[0]])


def cycles(edges: Mapping[str, set[str]]) -> Iterator[list[str]]:
    """One cycle for each way back that a depth-first walk meets."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> Iterator[list[str]]:
        if name in path:
            yield path[path.index(name) :]
        elif name not in done:
            for target in sorted(edges.get(name, ())):
                yield from walk(target, [*path, name])
            done.add(name)

    for name in sorted(edges):
        yield from walk(name, [])


def no_global_statements(tree: Tree) -> Iterator[str]:
    """State has an owner."""
    for source in tree.program + tree.extensions:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Global):
                yield f"{source.at(node.lineno)}: global {', '.join(node.names)}"


# Calls whose result is a constant.
PURE_CALLS = {
    "compile", "frozenset", "tuple", "MappingProxyType", "Path", "PurePosixPath", "TypeVar", "ParamSpec", "NewType", "TypeAdapter",
    "getLogger", "HookspecMarker", "HookimplMarker", "int", "float", "str", "bytes", "range", "len", "namedtuple", "timedelta",
    "ConfigDict", "Field", "StashKey", "ContextVar", "attrgetter", "itemgetter", "max", "min", "sum", "sorted", "partial", "Fraction",
    "getattr",
}  # fmt: skip
PURE_METHODS = {
    "resolve", "joinpath", "with_name", "with_suffix", "absolute", "strip", "split", "lower", "upper", "encode", "join", "format",
    "replace", "splitlines",
}  # fmt: skip


def importing_does_nothing(tree: Tree) -> Iterator[str]:
    """At the top of a module stand imports, definitions and constants: no state, no calls that do something."""
    frozen = frozen_classes(tree)
    mutated = set().union(*map(mutated_names, tree.sources))
    for source in tree.program + tree.extensions:
        known = Constants(frozen | value_functions(source, frozen), mutated)
        for node in top_level(source.tree.body):
            problem = known.problem(node)
            if problem:
                yield f"{source.at(node.lineno)}: {problem}"


MUTATORS = {
    "append", "extend", "insert", "remove", "pop", "popitem", "clear", "update", "setdefault", "add", "discard", "sort", "reverse",
    "appendleft", "popleft", "__setitem__",
}  # fmt: skip


def mutated_names(source: Source) -> set[str]:
    """The last names of what this file changes in place: `a.NAME[x] = …`, `NAME.append(…)`, `NAME += …`, `del NAME[x]`."""
    found: set[str] = set()
    for node in ast.walk(source.tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in MUTATORS
        ):
            found.add(dotted(node.func.value))
        elif isinstance(node, ast.AugAssign):
            found.add(dotted(node.target))
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            found.add(dotted(node.value))
    return {name.rpartition(".")[2] for name in found}


def value_functions(source: Source, frozen: set[str]) -> set[str]:
    """Functions of a module that only spell a value: their whole body is `return` and a value."""
    constants = Constants(frozen, set())
    found: set[str] = set()
    for node in source.tree.body:
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            match node.body[1:] if ast.get_docstring(node) else node.body:
                case [ast.Return(value=ast.expr() as value)] if not constants.within(value):
                    found.add(node.name)
    return found


def frozen_classes(tree: Tree) -> set[str]:
    """Classes of ours whose instances cannot change: frozen dataclasses and models, named tuples, enums, markers."""
    classes = [n for s in tree.sources for n in ast.walk(s.tree) if isinstance(n, ast.ClassDef)]
    frozen = {"NamedTuple", "Enum", "StrEnum", "IntEnum", "Flag"}
    grew = True
    while grew:
        more = {c.name for c in classes if is_frozen(c, frozen)}
        grew = not more <= frozen
        frozen |= more
    return frozen


def is_frozen(node: ast.ClassDef, frozen: set[str]) -> bool:
    """By a decorator, by `model_config` or by inheritance."""

    def says_frozen(call: ast.AST) -> bool:
        return isinstance(call, ast.Call) and any(
            k.arg == "frozen" and isinstance(k.value, ast.Constant) and k.value.value is True
            for k in call.keywords
        )

    bases = {
        dotted(b.value if isinstance(b, ast.Subscript) else b).rpartition(".")[2]
        for b in node.bases
    }
    config = [
        n.value
        for n in node.body
        if isinstance(n, ast.Assign) and dotted(n.targets[0]) == "model_config"
    ]
    return bool(bases & frozen) or any(map(says_frozen, [*node.decorator_list, *config]))


def top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that an import runs; those behind TYPE_CHECKING and `if __name__ == "__main__"` are not."""
    for node in body:
        if isinstance(node, ast.If):
            if dotted(node.test).endswith("TYPE_CHECKING") or "__name__" in ast.dump(node.test):
                continue
            yield from top_level([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from top_level([*node.body, *node.orelse, *node.finalbody])
            for handler in node.handlers:
                yield from top_level(handler.body)
        else:
            yield node


DEFINITIONS = (
    ast.Import,
    ast.ImportFrom,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Pass,
)
CONTAINERS = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)


@dataclass(frozen=True)
class Constants:
    """Tells constants from state."""

    pure: set[str]
    """Names whose call gives a value that cannot change."""
    mutated: set[str]
    """Names that are changed in place somewhere."""

    def problem(self, node: ast.stmt) -> str:
        """What is wrong with a statement at the top of a module; empty when nothing is."""
        if isinstance(node, DEFINITIONS) or type(node).__name__ == "TypeAlias":
            return ""
        if isinstance(node, ast.Expr):
            return (
                "" if isinstance(node.value, ast.Constant) else "an expression that an import runs"
            )
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            return f"a statement that an import runs ({type(node).__name__})"
        if node.value is None:
            return ""
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
        if is_container(node.value):
            if (
                not all(name.isupper() or name == "__all__" for name in names)
                or names & self.mutated
            ):
                return f"{', '.join(sorted(names))} is mutable state at module level"
            return self.within(node.value)
        return self.of(node.value)

    def of(self, node: ast.AST) -> str:
        """Why a value is no constant; empty when it is one."""
        if is_container(node):
            return "mutable state at module level"
        if isinstance(node, ast.Lambda | ast.Constant | ast.Name | ast.Attribute | ast.JoinedStr):
            return ""
        if isinstance(node, ast.Call):
            name = called(node)
            if isinstance(node.func, ast.Attribute) and name in PURE_METHODS:
                return self.of(node.func.value)
            if name not in PURE_CALLS | self.pure:
                return f"a call that an import runs: {ast.unparse(node.func)}(…)"
            return self.first(node.args + [k.value for k in node.keywords])
        return self.within(node)

    def within(self, node: ast.AST) -> str:
        """The same for the parts of a value, which may be containers: their owner keeps them."""
        if isinstance(node, ast.Call):
            return self.of(node)
        return self.first(ast.iter_child_nodes(node))

    def first(self, nodes: Iterable[ast.AST]) -> str:
        return next(filter(None, map(self.within, nodes)), "")


def is_container(node: ast.AST) -> bool:
    """Something that could be changed in place."""
    return isinstance(node, CONTAINERS)


def no_swallowed_errors(tree: Tree) -> Iterator[str]:
    """A handler for everything says what it caught: it raises, or it does something with the error."""
    for source in tree.program + tree.extensions:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ExceptHandler):
                if node.type is None:
                    yield f"{source.at(node.lineno)}: a bare except"
                elif names_everything(node.type) and not minds(node):
                    yield f"{source.at(node.lineno)}: {ast.unparse(node.type)} is swallowed"
            elif (
                isinstance(node, ast.Call)
                and called(node) == "suppress"
                and any(map(names_everything, node.args))
            ):
                yield f"{source.at(node.lineno)}: suppress({', '.join(map(ast.unparse, node.args))})"


def names_everything(node: ast.expr) -> bool:
    return any(dotted(n) in {"Exception", "BaseException"} for n in ast.walk(node))


def minds(handler: ast.ExceptHandler) -> bool:
    """Whether the body raises, uses the error's name, or logs it with its traceback."""
    nodes = [n for statement in handler.body for n in ast.walk(statement)]
    return any(
        isinstance(n, ast.Raise)
        or (isinstance(n, ast.Name) and n.id == handler.name)
        or (isinstance(n, ast.Call) and called(n) in {"exception", "format_exc", "print_exc"})
        for n in nodes
    )


# ---------------------------------------------------------------------------------------------------- the tests

# fmt: off
# One tree that breaks each rule, and a word of the complaint that it must raise.
BAD: list[tuple[Callable[[Tree], Iterator[str]], dict[str, str], str]] = [
    (rooms_import_only_lower_rooms, {"modules/schema/a.py": "import modules.imaging.b"}, "schema may not import"),
    (rooms_import_only_lower_rooms, {"modules/imaging/a.py": "from modules.diffusion import b"}, "imaging may not"),
    (rooms_import_only_lower_rooms, {"modules/diffusion/a.py": "from modules import library"}, "diffusion may not"),
    (rooms_import_only_lower_rooms, {"modules/library/a.py": "def f():\n import modules.services"}, "library may not"),
    (rooms_import_only_lower_rooms, {"modules/ui/a.py": "import modules.api.v2"}, "ui may not import modules.api"),
    (rooms_import_only_lower_rooms, {"modules/cli/serve.py": "import modules.ui.shell"}, "cli may not import modules.ui"),
    (rooms_import_only_lower_rooms, {"modules/app.py": "import modules.cli"}, "app may not import modules.cli"),
    (rooms_import_only_lower_rooms, {"modules/diffusion/a.py": "from modules.settings import Settings"}, "settings"),
    (rooms_import_only_lower_rooms, {"modules/plugins/a.py": "from ..services import jobs"}, "modules.services"),
    (rooms_import_only_lower_rooms, {"modules/helpers.py": ""}, "is no room"),
    (open_modules_need_no_room, {"modules/errors.py": "import modules.schema"}, "open to all"),
    (open_modules_need_no_room, {"modules/__init__.py": "import modules.app"}, "open to all"),
    (torch_stays_with_the_models, {"modules/services/a.py": "def f():\n import torch"}, "torch belongs"),
    (torch_stays_with_the_models, {"modules/imaging/a.py": "from diffusers import X"}, "diffusers belongs"),
    (torch_stays_with_the_models, {"extensions/e/plugin.py": "def f():\n import torch"}, "torch belongs"),
    (
        the_page_starts_without_torch,
        {"modules/ui/a.py": "import modules.library.b", "modules/library/b.py": "import torch"},
        "modules/ui/a.py loads torch",
    ),
    (
        the_page_starts_without_torch,
        {
            "modules/services/a.py": "from modules.diffusion.names import x",
            "modules/diffusion/__init__.py": "from modules.diffusion import loop",
            "modules/diffusion/names.py": "",
            "modules/diffusion/loop.py": "import torch.nn",
        },
        "modules.diffusion.loop (asked for by modules/diffusion/__init__.py)",
    ),
    (
        the_page_starts_without_torch,
        {"extensions/e/plugin.py": "from .adapter import A", "extensions/e/adapter.py": "import torch"},
        "extensions/e/plugin.py loads torch",
    ),
    (gradio_stays_in_ui, {"modules/app.py": "import gradio as gr"}, "gradio belongs"),
    (gradio_stays_in_ui, {"extensions/e/plugin.py": "from gradio import Blocks"}, "gradio belongs"),
    (fastapi_stays_in_api, {"modules/ui/a.py": "from starlette.responses import Response"}, "starlette.responses"),
    (fastapi_stays_in_api, {"modules/app.py": "from fastapi import FastAPI"}, "fastapi belongs"),
    (extensions_come_in_by_the_door, {"extensions/e/adapter.py": "from modules.diffusion import x"}, "modules.diffusion"),
    (extensions_come_in_by_the_door, {"extensions/e/adapter.py": "import extensions.other.plugin"}, "extensions.other"),
    (extensions_come_in_by_the_door, {"extensions/e/adapter.py": "import modules.pluginsx"}, "modules.pluginsx"),
    (
        the_program_names_no_extension,
        {"extensions/sharpen/plugin.py": "", "modules/ui/a.py": "x = {'sharpen': 1}"},
        "names the extension 'sharpen'",
    ),
    (the_program_names_no_extension, {"modules/a.py": "import_module('extensions.sharpen')"}, "extensions.sharpen"),
    (no_import_cycles, {"modules/a.py": "import modules.b", "modules/b.py": "def f():\n import modules.a"}, "modules.a"),
    (
        no_import_cycles,
        {"modules/s/__init__.py": "from modules.s.a import X", "modules/s/a.py": "from modules.s import Y"},
        "modules.s → modules.s.a → modules.s",
    ),
    (no_global_statements, {"modules/a.py": "def f():\n global x\n x = 1"}, "global x"),
    (importing_does_nothing, {"modules/a.py": "cache = {}"}, "mutable state"),
    (importing_does_nothing, {"modules/a.py": "jobs: list[str] = []"}, "mutable state"),
    (importing_does_nothing, {"modules/a.py": "QUEUE = Queue()"}, "Queue(…)"),
    (importing_does_nothing, {"modules/a.py": "SEEN = []", "modules/b.py": "a.SEEN.append(1)"}, "SEEN is mutable"),
    (importing_does_nothing, {"modules/a.py": "SEEN: dict[str, int] = {}\ndef f(): SEEN['a'] = 1"}, "SEEN is mutable"),
    (importing_does_nothing, {"modules/a.py": "def f():\n x = 1\n return g()\nX = f()"}, "f(…)"),
    (importing_does_nothing, {"modules/a.py": "print('hello')"}, "expression that an import runs"),
    (importing_does_nothing, {"modules/a.py": "for x in y:\n  z = x"}, "(For)"),
    (importing_does_nothing, {"modules/a.py": "TABLE: Mapping[str, X] = {'a': connect()}"}, "connect(…)"),
    (importing_does_nothing, {"modules/a.py": "X = open('x').read().strip()"}, "read(…)"),
    (no_swallowed_errors, {"modules/a.py": "try:\n f()\nexcept:\n raise"}, "a bare except"),
    (no_swallowed_errors, {"modules/a.py": "try:\n f()\nexcept Exception:\n pass"}, "Exception is swallowed"),
    (no_swallowed_errors, {"modules/a.py": "try:\n f()\nexcept (OSError, Exception) as e:\n x = 1"}, "swallowed"),
    (no_swallowed_errors, {"modules/a.py": "with contextlib.suppress(Exception):\n f()"}, "suppress(Exception)"),
]

# What every rule lets through.
GOOD = {
    "modules/__init__.py": "__version__ = '0'",
    "modules/texts.py": "import json\nLANGUAGES = ('en', 'zh')",
    "modules/errors.py": "from modules.texts import LANGUAGES",
    "modules/settings.py": "from modules.schema import R\nimport os",
    "modules/schema/__init__.py": "from modules.schema.request import R\n__all__ = ['R']",
    "modules/schema/request.py": "import re\n@dataclass(frozen=True)\nclass R: pass\nONE = R(a=[1])\nWORD = re.compile('x')",
    "modules/diffusion/__init__.py": "",
    "modules/diffusion/loop.py": "import torch\nfrom modules.schema import R\nTABLE: Mapping[str, R] = {'a': R({**row(2)})}\ndef row(n):\n return {'n': n}",
    "modules/diffusion/names.py": "if TYPE_CHECKING:\n from modules.diffusion.loop import X\nHERE = Path(__file__).parent / 'x'",
    "modules/services/a.py": "import modules.diffusion.names\ndef g():\n try:\n  f()\n except Exception as error:\n  tell(error)",
    "modules/ui/a.py": "import gradio\nfrom modules.services import a\nfrom modules import __version__",
    "modules/api/a.py": "from fastapi import APIRouter",
    "modules/app.py": "from modules.ui import a\nfrom modules.api import a as b",
    "modules/worker_process.py": "import modules.diffusion.loop",
    "extensions/e/plugin.py": "from modules.plugins import hook\nfrom .options import O\ndef f():\n from .adapter import A",
    "extensions/e/options.py": "",
    "extensions/e/adapter.py": "import torch\nfrom modules.plugins.adapters import Adapter",
    "extensions/e/panel.py": "import gradio",
    "extensions/e/tests/test_e.py": "import torch\nimport modules.diffusion.loop\nCASES = [1]",
}
# fmt: on

RULES = list(dict.fromkeys(rule for rule, _, _ in BAD))


def of_the_project() -> Tree:
    """Everything under modules/ and extensions/."""
    return Tree(
        {
            path.relative_to(PROJECT).as_posix(): path.read_text(encoding="utf-8")
            for folder in ("modules", "extensions")
            for path in (PROJECT / folder).rglob("*.py")
        }
    )


@pytest.fixture(scope="module")
def project() -> Tree:
    return of_the_project()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_program_keeps(rule, project):
    complaints = list(dict.fromkeys(rule(project)))
    assert not complaints, f"{rule.__doc__}\n" + "\n".join(complaints)


@pytest.mark.parametrize(
    ("rule", "files", "word"), BAD, ids=[f"{r.__name__}-{w}" for r, _, w in BAD]
)
def test_the_rule_can_fail(rule, files, word):
    complaints = list(rule(Tree(files)))
    assert any(word in complaint for complaint in complaints), complaints


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_lets_good_code_through(rule):
    assert list(rule(Tree(GOOD))) == []


def test_the_program_is_there(project):
    """An empty tree keeps every rule."""
    assert len(project.program) > 20
    assert {source.room for source in project.program} >= {"schema", "diffusion", "services", "ui"}
