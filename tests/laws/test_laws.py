"""What always holds, whatever the example."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import functools
import operator
import types
from decimal import Decimal
from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from promptchain import Attempt, Chain, Ledger, Price, Run, Stage, Step, Usage, step
from promptchain.fields import fits
from promptchain.models.scripted import ScriptedModel
from promptchain.templates import Template

counts = st.integers(0, 10**9)
usages = st.builds(Usage, counts, counts, counts, counts, st.just(0))
texts = st.text(st.characters(exclude_categories=["Cs"]))
words = texts.filter(str.strip)


class Leaf(BaseModel):
    x: int


any_type = st.recursive(
    st.sampled_from([str, int, float, bool, None, Leaf, Any, object, bytes, Literal["a", 1]]),
    lambda inner: st.one_of(
        inner.map(lambda tp: types.GenericAlias(list, (tp,))),
        st.tuples(inner, inner).map(lambda pair: types.GenericAlias(dict, pair)),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1] if None not in pair else pair[0]),
    ),
    max_leaves=5,
)


def appended(name: str) -> Stage[str, str]:
    async def append(text: str, run: Run) -> str:
        return f"({text}{name}{len(run.outputs)})"

    return step(name=name)(append)


def joined(stages: list[Stage[Any, Any]], order: list[int]) -> Stage[Any, Any]:
    """``stages`` joined with ``|``, the parentheses set by ``order``."""
    parts = list(stages)
    for position in order:
        at = position % (len(parts) - 1)
        parts[at : at + 2] = [parts[at] | parts[at + 1]]
    return functools.reduce(operator.or_, parts)


@given(st.integers(2, 6), st.lists(st.integers(0, 100), max_size=4))
def test_joining_is_associative(count: int, order: list[int]) -> None:
    stages = [appended(f"s{index}") for index in range(count)]
    flat, nested = joined(stages, []), joined(stages, order[: count - 2])
    assert list(flat.parts()) == list(nested.parts()) == stages
    assert (flat.input_type, flat.output_type) == (nested.input_type, nested.output_type)
    results = [asyncio.run(Chain("c", stage).run("x")) for stage in (flat, nested)]
    assert results[0].output == results[1].output
    assert list(results[0].steps) == list(results[1].steps)


@given(st.integers(1, 4), st.integers(1, 3))
def test_a_chain_of_a_part_in_a_chain_gives_what_the_part_gives(inside: int, outside: int) -> None:
    def steps(prefix: str, count: int) -> list[Stage[Any, Any]]:
        return [Step(f"{prefix}{i}", prompt="{previous}+", input=str) for i in range(count)]

    def asked(chain: Chain[Any, Any]) -> list[object]:
        model = ScriptedModel(*[lambda request: str(request.messages[0]["content"])] * (inside + outside))
        asyncio.run(chain.run("x", model=model))
        return [request.messages[0]["content"] for request in model.requests]

    flat = Chain("c", joined(steps("a", inside) + steps("b", outside), []))
    nested = Chain("c", Chain("inner", joined(steps("a", inside), [])) | joined(steps("b", outside), []))
    assert asked(flat) == asked(nested)


@given(st.lists(usages), st.randoms())
def test_usages_add_up_in_any_order_and_grouping(parts: list[Usage], random: Any) -> None:
    shuffled = random.sample(parts, len(parts))
    middle = len(parts) // 2
    assert Usage.sum(parts) == Usage.sum(shuffled)
    assert Usage.sum(parts) == Usage.sum(parts[:middle]) + Usage.sum(parts[middle:])
    assert Usage.sum(parts).total_tokens == sum(part.total_tokens for part in parts)


@given(usages)
def test_nothing_added_changes_nothing(usage: Usage) -> None:
    assert usage + Usage() == Usage() + usage == usage


@given(st.lists(usages), st.decimals(0, 1000, places=4), st.decimals(0, 1000, places=4))
def test_the_cost_of_a_sum_is_the_sum_of_the_costs(parts: list[Usage], inward: Decimal, out: Decimal) -> None:
    price = Price(input=inward, output=out)
    assert sum((price.cost(part) for part in parts), Decimal(0)) == price.cost(Usage.sum(parts))


@given(st.lists(st.tuples(usages, st.sampled_from(["a", "b", "b/c", "bc", "b/c/d"]), st.booleans())))
def test_a_ledger_is_the_sum_of_its_parts(rows: list[tuple[Usage, str, bool]]) -> None:
    prices = {"m": Price(input=3, output=15)}
    ledger = Ledger()
    for usage, path, estimated in rows:
        ledger.record(
            Attempt(
                step=path,
                number=1,
                model="m",
                usage=usage,
                estimated=estimated,
                started=0.0,
                seconds=0.0,
                prices=prices,
            )
        )
    parts = [ledger.of("a"), ledger.of("b"), ledger.of("bc")]
    assert ledger.usage == Usage.sum(part.usage for part in parts)
    assert ledger.cost == sum(part.cost or Decimal(0) for part in parts)
    assert ledger.estimated == any(part.estimated for part in parts)
    assert sum(len(part) for part in parts) == len(ledger)
    assert ledger[:1].usage + ledger[1:].usage == ledger.usage


@given(words.filter(lambda text: not set("{}") & set(text)))
def test_text_without_braces_renders_as_itself(text: str) -> None:
    assert Template(text).render(dict[str, object]().__getitem__) == text


@given(words)
def test_doubled_braces_render_as_single_ones(text: str) -> None:
    assert (
        Template(text.replace("{", "{{").replace("}", "}}")).render(dict[str, object]().__getitem__) == text
    )


@given(texts, texts, texts)
def test_what_is_filled_in_stands_there_as_it_is(before: str, value: str, after: str) -> None:
    template = f"{before}\0{after}".replace("{", "{{").replace("}", "}}").replace("\0", "{input}")
    if "\0" not in before + after:
        assert Template(template).render({"input": value}.__getitem__) == before + value + after


@given(any_type)
def test_every_type_fits_itself_and_anything_and_is_fit_by_anything(tp: Any) -> None:
    assert fits(tp, tp)
    assert fits(tp, object)
    assert fits(tp, Any)
    assert fits(Any, tp)


@given(any_type, any_type, any_type)
def test_what_fits_a_member_fits_the_union(given_type: Any, one: Any, other: Any) -> None:
    if None not in (one, other) and fits(given_type, one):
        assert fits(given_type, one | other)
        assert fits(given_type, other | one)
