"""The public surface: pinned, documented, and the same wherever it is looked at."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import promptchain
from promptchain import events

NAMES = [
    "AnthropicModel",
    "Attempt",
    "Breaker",
    "Budget",
    "Chain",
    "Fallback",
    "Gate",
    "Hedge",
    "JudgeGate",
    "Ledger",
    "Limits",
    "Model",
    "OfflineModel",
    "Policy",
    "Price",
    "PromptChainError",
    "Result",
    "Retry",
    "Run",
    "RunStream",
    "ScriptedModel",
    "Stage",
    "Step",
    "StepResult",
    "Timeout",
    "Usage",
    "Verdict",
    "step",
]
# Whoever imports the command line's door runs it.
SKIPPED = {"promptchain.__main__", "promptchain.testing.__main__"}


def modules() -> list[ModuleType]:
    found = pkgutil.walk_packages(promptchain.__path__, "promptchain.")
    return [importlib.import_module(module.name) for module in found if module.name not in SKIPPED]


def test_the_door_holds_these_names() -> None:
    assert sorted(promptchain.__all__) == NAMES
    assert len(set(promptchain.__all__)) == len(promptchain.__all__)


def test_nothing_else_hangs_at_the_door() -> None:
    code = (
        "import promptchain, types\n"
        "print(sorted(n for n, v in vars(promptchain).items()"
        " if not n.startswith('_') and not isinstance(v, types.ModuleType)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == repr(NAMES)


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import promptchain.step; ",
        "from promptchain.step import Step; ",
        "import promptchain.functions; ",
    ],
)
def test_the_decorator_keeps_its_name_although_a_module_has_the_same(before: str) -> None:
    code = f"{before}from promptchain import step; print(type(step).__name__, type(step(lambda_)).__name__)"
    code = "def lambda_(text): return text\n" + code
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("function FunctionStage\n", "")


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_everything_public_has_a_docstring(module: ModuleType) -> None:
    silent: list[str] = [] if module.__doc__ else ["the module"]
    for name, thing in vars(module).items():
        own = getattr(thing, "__module__", None) == module.__name__
        if name.startswith("_") or not own or not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        if not inspect.getdoc(thing):
            silent.append(name)
        if inspect.isclass(thing):
            for member, value in vars(thing).items():
                inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
                if not member.startswith("_") and inspect.isfunction(inner) and not inner.__doc__:
                    silent.append(f"{name}.{member}")
    assert silent == []


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_what_a_module_offers_exists(module: ModuleType) -> None:
    offered: list[str] = getattr(module, "__all__", [])
    assert [name for name in offered if not hasattr(module, name)] == []
    assert len(set(offered)) == len(offered)


def test_every_event_is_offered() -> None:
    assert {cls.__name__ for cls in events.Event.__subclasses__()} < set(events.__all__)
