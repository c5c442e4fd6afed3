"""``promptchain check``: see that a chain is right, and say what it is. Nothing is sent."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from promptchain.arguments import DEFAULT_MAX_TOKENS
from promptchain.chain import Chain
from promptchain.cli.exits import DONE, code_of
from promptchain.cli.outline import Place, outline
from promptchain.cli.terminal import Terminal
from promptchain.errors import PromptChainError
from promptchain.fields import shown
from promptchain.loading import load_chain
from promptchain.models.anthropic import AnthropicModel
from promptchain.models.catalog import KNOWN_MODELS, KNOWN_ON
from promptchain.spelling import nearest
from promptchain.step import Step
from promptchain.templates import Template

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = (
        "Import a chain, which checks its prompts and types, and show what it is. Nothing is sent."
    )
    parser.add_argument("chain", metavar="CHAIN", help="module:attribute, or path/to/file.py:attribute")
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")
    parser.set_defaults(command=_check, parser=parser)


def _check(arguments: argparse.Namespace, terminal: Terminal) -> int:
    try:
        chain = load_chain(arguments.chain)
    except PromptChainError as error:
        terminal.note(f"error: {error}")
        if arguments.json:
            told = {"type": type(error).__name__, "message": error.message, "step": error.step}
            terminal.write_json({"ok": False, "error": told})
        return code_of(error)
    places = outline(chain)
    warnings = tuple(dict.fromkeys(_warnings(places)))
    for warning in warnings:
        terminal.note(f"warning: {warning}")
    if arguments.json:
        stages = [_described(place) for place in places]
        terminal.write_json({"ok": True, **_head(chain), "stages": stages, "warnings": warnings})
    else:
        lines = [_title(chain), *(line for place in places for line in _lines(place)), "ok"]
        terminal.write("\n".join(lines) + "\n")
    return DONE


def _head(chain: Chain[Any, Any]) -> Mapping[str, Any]:
    return {
        "name": chain.name,
        "input": shown(chain.input_type),
        "output": shown(chain.output_type),
        "max_input_bytes": chain.max_input_bytes,
    }


def _described(place: Place) -> Mapping[str, Any]:
    stage = place.stage
    described: dict[str, Any] = {
        "path": place.path,
        "kind": type(stage).__name__,
        "input": shown(stage.input_type),
        "output": shown(stage.output_type),
    }
    if isinstance(stage, Step):
        described |= {
            "model": place.model.name if place.model else None,
            "model_from": _origin(place),
            "max_tokens": place.arguments.max_tokens or DEFAULT_MAX_TOKENS,
            "prompt": _template(stage.prompt),
            "system": _template(stage.system) if stage.system else None,
            "gates": [{"name": gate.name, "reason": gate.reason} for gate in stage.gates],
        }
    return described


def _origin(place: Place) -> str | None:
    if place.model is None:
        return None
    return "step" if isinstance(place.stage, Step) and place.stage.arguments.model is not None else "chain"


def _template(template: Template) -> Mapping[str, Any]:
    return {
        "file": _file(template.path) if template.path else None,
        "sha256": template.digest,
        "placeholders": template.placeholders,
    }


def _file(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _title(chain: Chain[Any, Any]) -> str:
    head = _head(chain)
    limit = f", at most {head['max_input_bytes']:,} bytes" if chain.input_type is str else ""
    return f"{chain.name}: {head['input']} -> {head['output']}{limit}"


def _lines(place: Place) -> Iterator[str]:
    told = _described(place)
    indent = "  " * (1 + place.path.count("/"))
    yield f"{indent}{told['path']}: {told['kind']}, {told['input']} -> {told['output']}"
    if not isinstance(place.stage, Step):
        return
    model = f"{told['model']} (of the {told['model_from']})" if told["model"] else "none is named"
    yield f"{indent}  model       {model}"
    yield f"{indent}  max_tokens  {told['max_tokens']:,}"
    for role in ("prompt", "system"):
        if told[role]:
            yield f"{indent}  {role:<10}  {_written(told[role])}"
    for number, gate in enumerate(told["gates"]):
        reason = f"{gate['name']}: {gate['reason']}" if gate["name"] != gate["reason"] else gate["reason"]
        yield f"{indent}  {'' if number else 'gates':<10}  {reason}"


def _written(template: Mapping[str, Any]) -> str:
    names = " ".join(f"{{{name}}}" for name in template["placeholders"])
    return "  ".join(filter(None, [template["file"], f"sha256 {template['sha256'][:12]}", names]))


def _warnings(places: Sequence[Place]) -> Iterator[str]:
    for place in places:
        model = place.model
        if isinstance(place.stage, Step) and model is None:
            yield (
                f"step {place.path!r}: no model is named, neither by the step nor by its chain: "
                "give one, or run it with --model."
            )
        if isinstance(place.stage, Step) and not place.stage.prompt.placeholders:
            yield (
                f"step {place.path!r}: its prompt has no placeholder, so it sees neither the input "
                "nor what an earlier stage gave."
            )
        if isinstance(model, AnthropicModel) and model.name not in KNOWN_MODELS:
            yield (
                f"step {place.path!r}: {model.name!r} is not among the models known on {KNOWN_ON}."
                f"{nearest(model.name, KNOWN_MODELS)}"
            )
