"""`module:attribute` → the object, if it may be used.

A name from YAML reaches only modules of the allowed packages, and those in
the workflow's own folder. The latter are loaded under a private name,
`holdfast_workflows.<workflow>.<module>`: the folder never stands on
`sys.path`, and stored state can name their classes. An object also has to be
defined in such a module, so that an import of `os.system` there is no node.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from types import BuiltinFunctionType, ModuleType
from typing import Any

from framework.definition.words import suggest
from framework.errors import CallableRefused

PRIVATE_PACKAGE = "holdfast_workflows"

_REFERENCE = re.compile(r"([^:\s]+):([^:\s]+)")
_LOCK = threading.RLock()


class Purpose(StrEnum):
    """What a name is wanted for, which decides what may stand behind it."""

    FUNCTION = "a function"
    GRAPH = "a LangGraph graph, or a function that returns one"
    EXCEPTION = "an exception class"


class Resolver:
    """Finds the code that one workflow names.

    Args:
        allowed_packages: Dotted names; a package allows what is inside it.
        folder: The workflow's own folder, if it has one.
        workflow_name: Gives the folder's modules their private name.
    """

    def __init__(self, *, allowed_packages: Sequence[str], folder: Path | None, workflow_name: str) -> None:
        self.allowed_packages = tuple(allowed_packages)
        self.folder = folder.absolute() if folder is not None else None
        self.workflow_name = workflow_name
        self._modules: dict[str, ModuleType] = {}

    @property
    def private_name(self) -> str:
        """The package that the folder's modules are in."""
        return f"{PRIVATE_PACKAGE}.{self.workflow_name.replace('-', '_')}"

    @property
    def allowed_modules(self) -> tuple[str, ...]:
        """Packages whose classes may stand in stored state."""
        return (*self.allowed_packages, self.private_name)

    def activate(self) -> None:
        """Make the folder's modules importable by their private name.

        Needed before stored state is read in a process that has not yet
        resolved anything of this workflow.
        """
        if self.folder is not None:
            with _LOCK:
                _register(self.private_name, self.folder)

    def resolve(self, reference: str, purpose: Purpose = Purpose.FUNCTION) -> Any:
        """Return what `module:attribute` names.

        Raises:
            CallableRefused: Not allowed, not there, or its module cannot be imported.
        """
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise CallableRefused(
                f"{reference[:80]!r} is not of the form module:function",
                hint="for instance nodes:collect, for collect() in nodes.py beside the workflow",
            )
        module_name, attribute = match.groups()
        if "." in attribute:
            raise CallableRefused(
                f"{attribute[:80]!r} is nested; only what stands at the top of a module can be used",
                hint=f"use {module_name}:{attribute.split('.')[-1]} and define it there",
            )
        if attribute.startswith("_") or not attribute.isidentifier():
            raise CallableRefused(f"{attribute[:80]!r} is not a public name of a module")
        module = self.module(module_name)
        if attribute not in vars(module):
            names = [name for name, value in vars(module).items()
                     if not name.startswith("_") and self._owns(value)]  # fmt: skip
            raise CallableRefused(
                f"module {module_name!r} has no {attribute[:80]!r}",
                hint=suggest(attribute, names, kind="it has"),
            )
        found = vars(module)[attribute]
        self._check(found, reference, purpose)
        return found

    def module(self, name: str) -> ModuleType:
        """Return an allowed module, imported.

        Raises:
            CallableRefused: As `resolve()`.
        """
        if name in self._modules:
            return self._modules[name]
        parts = name.split(".")
        if len(name) > 200 or not all(part.isidentifier() and not part.startswith("__") for part in parts):
            raise CallableRefused(f"{name[:80]!r} is not the name of a module")
        if self._allows(name):
            full_name = name
        elif self._in_folder(parts):
            full_name = f"{self.private_name}.{name}"
        else:
            raise self._outside(name)
        with _LOCK:
            if full_name != name:
                self.activate()
            module = self._import(full_name, name)
        self._modules[name] = module
        return module

    def _allows(self, module_name: str) -> bool:
        return any(module_name == package or module_name.startswith(package + ".")
                   for package in self.allowed_packages)  # fmt: skip

    def _in_folder(self, parts: Sequence[str]) -> bool:
        if self.folder is None:
            return False
        base = self.folder.joinpath(*parts)
        candidates = (base.with_name(base.name + ".py"), base / "__init__.py")
        inside = self.folder.resolve()
        return any(path.is_file() and path.resolve().is_relative_to(inside) for path in candidates)

    def _outside(self, name: str) -> CallableRefused:
        allowed = ", ".join(self.allowed_packages) or "none"
        hint = f"allowed packages: {allowed} (framework_config.yaml, workflows.allowed_packages)"
        if self.folder is not None:
            hint += f"; or put {name.split('.', maxsplit=1)[0]}.py beside the workflow's file"
        return CallableRefused(f"module {name[:80]!r} is in no allowed package", hint=hint)

    def _import(self, full_name: str, name: str) -> ModuleType:
        importlib.invalidate_caches()
        try:
            return importlib.import_module(full_name)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # see below
            # The user's module runs here, so anything can come out of it.
            missing = isinstance(error, ModuleNotFoundError) and error.name is not None
            if missing and (full_name == error.name or full_name.startswith(f"{error.name}.")):  # type: ignore[union-attr]  # isinstance stands in `missing`
                raise CallableRefused(f"there is no module {name!r}", hint=self._near_modules(name)) from None
            where = _line_in_user_code(error)
            reason = f"{type(error).__name__}: {str(error)[:300]}" if str(error) else type(error).__name__
            raise CallableRefused(f"module {name!r} cannot be imported: {reason}{where}") from None

    def _near_modules(self, name: str) -> str | None:
        package, _, last = name.rpartition(".")
        parent = sys.modules.get(package) if package else None
        folders = [Path(entry) for entry in getattr(parent, "__path__", [])]
        stems = {path.stem for folder in folders for path in folder.glob("*.py")}
        return suggest(last, {stem for stem in stems if not stem.startswith("_")}, kind="modules there")

    def _owns(self, found: object) -> bool:
        module_name = getattr(found, "__module__", None)
        return isinstance(module_name, str) and callable(found) and self._owned_module(module_name)

    def _owned_module(self, name: str) -> bool:
        return self._allows(name) or name.startswith(f"{self.private_name}.") or name == self.private_name

    def _check(self, found: object, reference: str, purpose: Purpose) -> None:
        if isinstance(found, ModuleType):
            raise CallableRefused(f"{reference} is a module, not {purpose}")
        if purpose is Purpose.EXCEPTION:
            if not (isinstance(found, type) and issubclass(found, BaseException)):
                raise CallableRefused(f"{reference} is not an exception class")
            if not issubclass(found, Exception):
                raise CallableRefused(f"{reference} is not an ordinary exception: it may not be caught")
            return
        kind = type(found).__module__.split(".")[0]
        if purpose is Purpose.GRAPH and kind == "langgraph":
            return
        if not callable(found):
            raise CallableRefused(f"{reference} is not {purpose}, but a {type(found).__name__}")
        home = getattr(found, "__module__", None)
        if not isinstance(home, str) or isinstance(found, BuiltinFunctionType):
            home = type(found).__module__ if home is None else home
        if not isinstance(home, str) or not self._owned_module(home):
            raise CallableRefused(
                f"{reference} is defined in {home!r}, which is in no allowed package",
                hint="define a function of your own there that calls it",
            )


def _register(private_name: str, folder: Path) -> None:
    """Put a package into sys.modules whose path is the folder; a changed folder starts afresh."""
    if PRIVATE_PACKAGE not in sys.modules:
        root = ModuleType(PRIVATE_PACKAGE)
        root.__path__ = []
        sys.modules[PRIVATE_PACKAGE] = root
    known = sys.modules.get(private_name)
    if known is not None:
        if list(known.__path__) == [str(folder)]:
            return
        for name in [name for name in sys.modules if f"{name}.".startswith(f"{private_name}.")]:
            del sys.modules[name]
    spec = importlib.util.spec_from_loader(private_name, loader=None, is_package=True)
    assert spec is not None
    spec.submodule_search_locations = [str(folder)]
    package = importlib.util.module_from_spec(spec)
    package.__path__ = [str(folder)]
    sys.modules[private_name] = package
    setattr(sys.modules[PRIVATE_PACKAGE], private_name.rpartition(".")[2], package)
    init = folder / "__init__.py"
    if init.is_file():
        _run_init(package, init)


def _run_init(package: ModuleType, init: Path) -> None:
    try:
        exec(compile(init.read_bytes(), str(init), "exec"), vars(package))  # noqa: S102  # what an import does
    except (Exception, SystemExit) as error:  # noqa: BLE001  # see below
        # The user's module runs here, so anything can come out of it.
        sys.modules.pop(package.__name__, None)
        where = _line_in_user_code(error)
        reason = f"{type(error).__name__}: {str(error)[:300]}"
        raise CallableRefused(f"{init.name} of the workflow cannot be imported: {reason}{where}") from None


def _line_in_user_code(error: BaseException) -> str:
    """Where in the user's own files it happened, for the message."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    library = str(Path(traceback.__file__).parent)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        name = frame.filename
        ours = name == __file__ or name.startswith(("<", library)) or "site-packages" in name
        if not ours:
            return f" ({name}, line {frame.lineno})"
    return ""


def exception_class(name: str, resolver: Resolver) -> type[Exception]:
    """Return the class that `retry.on` names: a builtin's bare name or `module:Class`.

    Raises:
        CallableRefused: There is no such exception.
    """
    if ":" in name:
        found: type[Exception] = resolver.resolve(name, Purpose.EXCEPTION)
        return found
    builtin = _BUILTIN_EXCEPTIONS.get(name)
    if builtin is None:
        hint = suggest(name, _BUILTIN_EXCEPTIONS, kind="known")
        if hint is None or not hint.startswith("did"):
            hint = "write a builtin's name, such as TimeoutError, or module:Class"
        raise CallableRefused(f"there is no builtin exception {name[:80]!r}", hint=hint)
    return builtin


def _builtin_exceptions() -> dict[str, type[Exception]]:
    import builtins

    return {name: value for name, value in vars(builtins).items()
            if isinstance(value, type) and issubclass(value, Exception)
            and not issubclass(value, Warning)}  # fmt: skip


_BUILTIN_EXCEPTIONS = _builtin_exceptions()

NodeFunction = Callable[..., Any]
