"""Chains by name: ``module:attribute`` or ``path/to/file.py:attribute`` becomes the chain it names."""

from __future__ import annotations

import importlib
import importlib.util
import keyword
import os
import pkgutil
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from promptchain.chain import Chain
from promptchain.errors import LoadError, PromptChainError
from promptchain.spelling import nearest, nearest_file
from promptchain.stage import Stage

__all__ = ["load_chain"]

_EXAMPLE: Final = "as in 'promptchain.chains:answer' or 'my_chains.py:answer'"
_OURS: Final = str(Path(__file__).parent)


def load_chain(target: str) -> Chain[Any, Any]:
    """Import the chain that ``target`` names.

    A module is looked for in the current directory first, as ``python -m`` does; a file's own directory is
    importable for it. Both stay on ``sys.path``. Importing runs the module's code.

    Args:
        target: ``"module:attribute"`` or ``"path/to/file.py:attribute"``; the attribute may be dotted.

    Raises:
        LoadError: Nothing of this name can be imported, or it is not a chain. What the module itself raised
            is ``__cause__``.
    """
    place, colon, attribute = target.rpartition(":")
    if not colon or not place or not attribute:
        raise LoadError(f"{target!r} names no chain: write module:attribute, {_EXAMPLE}.{_hint(target)}")
    module = _file(Path(place), target) if place.endswith(".py") else _module(place, target)
    return _chain(module, attribute, target)


def _hint(target: str) -> str:
    """The chains of the module that was named alone, if it has been imported already."""
    module = sys.modules.get(target.strip(":"))
    return _offer(module, target.strip(":")) if module is not None else ""


def _module(name: str, target: str) -> ModuleType:
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")):
        file = " For a file, end it with '.py'." if {"/", os.sep} & set(name) else ""
        raise LoadError(f"{target!r}: {name!r} cannot be the name of a module, {_EXAMPLE}.{file}")
    here = _here()
    if here is not None:
        _make_importable(here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise LoadError(
                f"{target!r}: there is no module {error.name!r}, "
                f"neither in {here or 'the working directory, which does not exist,'} nor installed."
                f"{_nearest_module(name, error.name)}"
            ) from None
        raise _failed(error, name) from error
    except (Exception, SystemExit) as error:
        raise _failed(error, name) from error


def _file(path: Path, target: str) -> ModuleType:
    try:
        is_file = path.is_file()
    except PermissionError:
        raise LoadError(
            f"{target!r}: the file {str(path)!r} is in a folder that may not be entered."
        ) from None
    except (OSError, ValueError) as error:  # longer than a name may be; with a NUL in it
        raise LoadError(f"{target[:80]!r}: there can be no such file: {error.args[-1]}.") from None
    if not is_file:
        what = "is a directory" if path.is_dir() else "does not exist"
        raise LoadError(f"{target!r}: the file {str(path)!r} {what}.{nearest_file(path, '.py')}")
    path = path.resolve()
    for name in (path.stem, str(path)):
        known = sys.modules.get(name)
        if known is not None and getattr(known, "__file__", None) == str(path):
            return known
    _make_importable(path.parent)
    # Under its own name, so that its neighbours import the same module; never in the place of another one.
    name = str(path) if path.stem in sys.modules else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{target!r}: the file {str(path)!r} is no Python module.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(name, None)
        if isinstance(error, (Exception, SystemExit)):
            raise _failed(error, _relative(str(path))) from error
        raise
    return module


def _here() -> Path | None:
    """The working directory, unless it was removed."""
    try:
        return Path.cwd()
    except OSError:
        return None


def _make_importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    # A file that is newer than the last look at its directory would not be seen.
    importlib.invalidate_caches()


def _failed(error: BaseException, name: str) -> LoadError:
    """What the module's own code raised, with the line of it that did."""
    where = _line(error)
    if isinstance(error, PromptChainError):
        return LoadError(f"{where or name}: {error.message}").locate(step=error.step)
    place = f" at {where}" if where else ""
    if isinstance(error, SystemExit):
        return LoadError(
            f"{name!r} ended the program ({error.code!r}) while it was loaded{place}: "
            "put what it does when it is run under: if __name__ == '__main__'"
        )
    told = error.msg if isinstance(error, SyntaxError) else str(error)
    return LoadError(f"{name!r} cannot be imported: {type(error).__name__}{place}: {told}".rstrip(": "))


def _line(error: BaseException) -> str | None:
    """``file:line`` of the user's code, which is seldom the innermost frame."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_relative(error.filename)}:{error.lineno or 1}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen")]
    paths = sysconfig.get_paths()
    foreign = tuple(paths[key] + os.sep for key in ("stdlib", "platstdlib", "purelib", "platlib"))
    own = [f for f in frames if not f.filename.startswith((*foreign, _OURS))]
    # The frames of loading itself come first; a module of the library or an installed one comes after them.
    other = [f for f in frames if f.filename not in {__file__, importlib.__file__}]
    for frame in (own or other)[-1:]:
        return f"{_relative(frame.filename)}:{frame.lineno}"
    return None


def _relative(filename: str) -> str:
    try:
        return str(Path(filename).relative_to(Path.cwd()))
    except (OSError, ValueError):
        return filename


def _nearest_module(name: str, missing: str) -> str:
    parent, _, _ = missing.rpartition(".")
    if parent:
        path: Iterable[str] | None = getattr(sys.modules.get(parent), "__path__", None)
        if path is None:
            return f" {parent!r} is a module, not a package."
        guess = nearest(missing, [f"{parent}.{m.name}" for m in pkgutil.iter_modules(path)])
    else:
        here = _here()
        own = [m.name for m in pkgutil.iter_modules([str(here)])] if here is not None else []
        paths = [path for path in sys.path if path or here is not None]  # "" is the working directory
        guess = nearest(missing, own) or nearest(missing, [m.name for m in pkgutil.iter_modules(paths)])
    return guess if missing == name else guess.replace("?", f" in {name!r}?")


def _chain(module: ModuleType, attribute: str, target: str) -> Chain[Any, Any]:
    value: Any = module
    for name in attribute.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            known = [known for known in dir(value) if not known.startswith("_")]
            raise LoadError(
                f"{target!r}: {_name(value)} has no {name!r}.{nearest(name, known)}{_offer(value, _name(value))}"
            ) from None
        except (Exception, SystemExit) as error:
            raise _failed(error, target) from error
    if isinstance(value, Chain):
        return value  # pyright: ignore[reportUnknownVariableType] - its types are not known here
    if isinstance(value, Stage):
        raise LoadError(
            f"{target!r} is a stage, not a chain: name one that holds it, as in "
            f"my_chain = Chain('my-chain', {attribute})."
        )
    if isinstance(value, ModuleType):
        raise LoadError(f"{target!r} is a module, not a chain.{_offer(value, value.__name__)}")
    kind = f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"
    advice = (
        f": name what it returns, as in my_chain = {attribute}()."
        if callable(value) and not isinstance(value, type)
        else "."
    )
    raise LoadError(f"{target!r} is {kind}, not a chain{advice}{_offer(module, module.__name__)}")


def _name(value: Any) -> str:
    return getattr(value, "__name__", None) or type(value).__name__


def _offer(value: Any, name: str) -> str:
    chains = [known for known, held in getattr(value, "__dict__", {}).items() if isinstance(held, Chain)]
    return f" Chains of {name}: {', '.join(chains)}." if chains else f" There is no chain in {name}."
