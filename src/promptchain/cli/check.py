"""``promptchain check``: see that a chain is right, and say what it is and why. Nothing is sent."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from promptchain.chain import Chain
from promptchain.cli import protection
from promptchain.cli import settings as cli_settings
from promptchain.cli.exits import DONE, code_of
from promptchain.cli.outline import calls_of, outline
from promptchain.cli.terminal import Terminal, one_line
from promptchain.errors import DefinitionError, PromptChainError
from promptchain.fields import shown
from promptchain.gates import Gate
from promptchain.loading import load_chain
from promptchain.models.anthropic import AnthropicModel
from promptchain.models.catalog import KNOWN_MODELS, KNOWN_ON
from promptchain.places import Held
from promptchain.settings import Effective, Overrides, Settings
from promptchain.spelling import brief, nearest
from promptchain.step import Step
from promptchain.templates import Template

__all__ = ["configure"]

_OF_STEPS: Final = (
    "model",
    "max_tokens",
    "effort",
    "thinking",
    "temperature",
    "top_p",
    "service_tier",
    "stop_sequences",
    "max_reasks",
    "timeout",
    "prices",
)
# What settings say of whole runs, and how it is shown.
_OF_RUNS: Final[Mapping[str, str]] = {
    "min_confidence": "least confidence: {}",
    "deadline": "deadline: {:g} s",
    "budget_usd": "budget: USD {:f}",
    "budget_tokens": "budget: {:,} tokens",
}
_WIDTH: Final = 12


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = (
        "Import a chain, which checks its prompts and types, and show what it is, with the settings that hold "
        "for it and where each comes from. Nothing is sent."
    )
    parser.add_argument("chain", metavar="CHAIN", help="module:attribute, or path/to/file.py:attribute")
    cli_settings.configure(parser)
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")
    parser.set_defaults(command=_check, parser=parser)


def _check(arguments: argparse.Namespace, terminal: Terminal) -> int:
    try:
        settings = cli_settings.read_settings(arguments)
        chain = load_chain(arguments.chain)
        overrides = settings.overrides(chain.profiles)
        everywhere = outline(chain, overrides)
    except PromptChainError as error:
        terminal.note(one_line(f"error: {error}"))
        if arguments.json:
            terminal.write_json({"ok": False, "error": _told(error)})
        return code_of(error)
    root, *places = everywhere
    found = [*_warnings(everywhere), *cli_settings.unmatched(settings, everywhere)]
    warnings = tuple(dict.fromkeys(found))
    for warning in warnings:
        terminal.note(one_line(f"warning: {warning}"))
    errors = _misfits(everywhere)
    for misfit in errors:
        terminal.note(one_line(f"error: {misfit}"))
    if arguments.json:
        stages = [_described(place) for place in places]
        told = [_told(misfit) for misfit in errors]
        head = {**_head(chain), **_around(root, overrides)}
        terminal.write_json(
            {"ok": not errors, **head, "stages": stages, "warnings": warnings, "errors": told}
        )
    else:
        lines = [
            _title(chain),
            *_about(root, overrides),
            *(line for place in places for line in _lines(place)),
        ]
        terminal.write("\n".join([*lines, *(["ok"] if not errors else [])]) + "\n")
    return code_of(errors[0]) if errors else DONE


def _told(error: PromptChainError) -> Mapping[str, Any]:
    return {"type": type(error).__name__, "message": error.message, "step": error.step}


def _head(chain: Chain[Any, Any]) -> Mapping[str, Any]:
    return {
        "name": chain.name,
        "input": shown(chain.input_type),
        "output": shown(chain.output_type),
        "max_input_bytes": chain.max_input_bytes,
    }


def _around(root: Held, overrides: Overrides) -> Mapping[str, Any]:
    """What holds for the chain as a whole."""
    settings = overrides.settings
    profile, gates = settings.profile, settings.gates
    return {
        "profile": profile and {"value": profile.value, "from": profile.origin, "of": overrides.profile_of},
        "profiles": overrides.known_profiles,
        "gates": {"value": overrides.gates_are_on, "from": gates.origin if gates else "default"},
        **_of_runs(root, settings),
        "policy": protection.described(root),
        "input_gates": _gates(root),
    }


def _of_runs(root: Held, settings: Settings) -> Mapping[str, Any]:
    """What a run is held to; what the chain says itself replaces the settings."""
    said = {name: getattr(settings, name) for name in _OF_RUNS}
    told = {name: each and {"value": each.value, "from": each.origin} for name, each in said.items()}
    if isinstance(root.stage, Chain):
        own, origin = root.stage.budget, f"chain {root.stage.name!r}"
        if root.stage.deadline is not None:
            told["deadline"] = {"value": root.stage.deadline, "from": origin}
        if own is not None:
            for name, value in (("budget_usd", own.usd), ("budget_tokens", own.tokens)):
                told[name] = None if value is None else {"value": value, "from": origin}
    return told


def _described(place: Held) -> Mapping[str, Any]:
    stage = place.stage
    described: dict[str, Any] = {
        "path": place.path,
        "kind": type(stage).__name__,
        "input": shown(stage.input_type),
        "output": shown(stage.output_type),
        "configuration": _configuration(place),
        "policy": protection.described(place),
        "optional": _standing_in(place),
    }
    if isinstance(stage, Step):
        described |= {
            "prompt": _template(stage.prompt),
            "system": _template(stage.system) if stage.system else None,
        }
    return described | {("input_gates" if isinstance(stage, Chain) else "gates"): _gates(place)}


def _standing_in(place: Held) -> Mapping[str, Any] | None:
    """What stands in for an optional step; ``None`` for one that is required."""
    stand_in = place.stage.stand_in
    if stand_in is None:
        return None
    if stand_in.fallback is None:
        return {"default": stand_in.default}
    return {"fallback": f"{place.path}/{stand_in.fallback.name}"}


def _configuration(place: Held) -> Mapping[str, Any]:
    """Each field that has a value, with where that comes from."""
    return _said(_OF_STEPS if place.stage.asks_model else place.stage.settable, place.effective)


def _said(fields: Sequence[str], effective: Effective | None) -> Mapping[str, Any]:
    if effective is None:
        return {}
    return {
        name: {"value": _plain(name, getattr(effective.arguments, name)), "from": effective.origins[name]}
        for name in fields
        if name in effective.origins
    }


def _plain(field: str, value: Any) -> Any:
    if field == "model":
        return value.name
    return sorted(value) if field == "prices" else value


def _gates(place: Held) -> Sequence[Mapping[str, Any]]:
    return [
        {
            "name": gate.name,
            "reason": gate.reason,
            "mode": mode,
            "mode_from": origin,
            "configuration": _said(gate.settable, place.effective_of(gate)),
        }
        for gate in place.gates
        for mode, origin in [_mode(gate, place)]
    ]


def _mode(gate: Gate[Any], place: Held) -> tuple[str | None, str]:
    if place.overrides is not None and place.overrides.settings.gates and not place.overrides.gates_are_on:
        return "off", place.overrides.settings.gates.origin
    if gate.mode is not None:
        return gate.mode, "gate"
    return place.effective.arguments.gates_mode, place.effective.origins["gates_mode"]


def _template(template: Template) -> Mapping[str, Any]:
    return {
        "file": _file(template.path) if template.path else None,
        "sha256": template.digest,
        "placeholders": template.placeholders,
    }


def _file(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except (OSError, ValueError):  # OSError: the working directory was removed
        return str(path)


def _title(chain: Chain[Any, Any]) -> str:
    head = _head(chain)
    limit = f", at most {head['max_input_bytes']:,} bytes" if chain.input_type is str else ""
    return f"{chain.name}: {head['input']} -> {head['output']}{limit}"


def _about(root: Held, overrides: Overrides) -> Iterator[str]:
    told = _around(root, overrides)
    profile, gates = told["profile"], told["gates"]
    chosen = f"{profile['value']}, {profile['of']} ({profile['from']})" if profile else "none"
    yield f"profile: {chosen}; known: {', '.join(told['profiles'])}"
    yield f"gates: {'on' if gates['value'] else 'off'} ({gates['from']})"
    for name, title in _OF_RUNS.items():
        if told[name]:
            yield f"{title.format(told[name]['value'])} ({told[name]['from']})"
    for gate in told["input_gates"]:
        yield f"input gate: {_judging(gate)}"
    for row in protection.rows(told["policy"]):
        yield f"policy of the judges of its input: {row}"


def _lines(place: Held) -> Iterator[str]:
    told = _described(place)
    indent = "  " * (1 + place.path.count("/"))
    yield f"{indent}{told['path']}: {told['kind']}, {told['input']} -> {told['output']}"
    rows: list[tuple[str, str]] = []
    if place.stage.asks_model and place.effective.arguments.model is None:
        rows.append(("model", "none is named"))
    for name, held in told["configuration"].items():
        rows.append((name, f"{_written_value(name, held['value'])} ({held['from']})"))
    for number, row in enumerate(protection.rows(told["policy"])):
        rows.append(("" if number else "policy", row))
    optional: Mapping[str, Any] = told["optional"] or {}
    for name, value in optional.items():
        rows.append(("optional", f"{name} {brief(value) if name == 'default' else value}"))
    rows += [(role, _written(told[role])) for role in ("prompt", "system") if told.get(role)]
    for role in ("gates", "input_gates"):
        for number, gate in enumerate(told.get(role, ())):
            rows.append(("" if number else role.replace("_", " "), _judging(gate)))
    for name, text in rows:
        yield f"{indent}  {name:<{_WIDTH}}  {text}"


def _judging(gate: Mapping[str, Any]) -> str:
    reason = f"{gate['name']}: {gate['reason']}" if gate["name"] != gate["reason"] else gate["reason"]
    told = [f"{gate['mode']}, {gate['mode_from']}"]
    for name, held in gate["configuration"].items():
        value = (
            f"asks {held['value']}" if name == "model" else f"{name} {_written_value(name, held['value'])}"
        )
        if held["from"] != "judge":
            told.append(f"{value}, {held['from']}")
        elif name == "model":
            told.append(value)
    return f"{reason} ({'; '.join(told)})"


def _written_value(field: str, value: Any) -> str:
    if field == "timeout":
        return f"{value:g} s"
    if field == "prices":
        return f"of {', '.join(value)}"
    if field == "stop_sequences":
        return " ".join(map(repr, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _written(template: Mapping[str, Any]) -> str:
    names = " ".join(f"{{{name}}}" for name in template["placeholders"])
    return "  ".join(filter(None, [template["file"], f"sha256 {template['sha256'][:12]}", names]))


def _warnings(places: Sequence[Held]) -> Iterator[str]:
    for place in places:
        if isinstance(place.stage, Step) and not place.stage.prompt.placeholders:
            yield (
                f"step {place.path!r}: its prompt has no placeholder, so it sees neither the input "
                "nor what an earlier stage gave."
            )
    for call in calls_of(places):
        model = call.model
        if model is None:
            yield (
                f"step {call.path!r}: no model is named, neither by the step nor by its chain: "
                "give one, or run it with --model."
            )
        if isinstance(model, AnthropicModel) and model.name not in KNOWN_MODELS:
            yield (
                f"step {call.path!r}: {model.name!r} is not among the models known on {KNOWN_ON}."
                f"{nearest(model.name, KNOWN_MODELS)}"
            )


def _misfits(places: Sequence[Held]) -> Sequence[DefinitionError]:
    """What those who are asked surely do not take."""
    found: list[DefinitionError] = []
    for call in calls_of(places):
        try:
            call.refuse_unfit()
        except DefinitionError as error:
            found.append(error)
    return found
