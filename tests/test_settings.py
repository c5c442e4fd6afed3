"""Settings: what the environment, an ``.env`` file and profiles say, and what comes before what."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from promptchain import AnthropicModel, Chain, Gate, Run, ScriptedModel, Step, step
from promptchain.cli.outline import outline
from promptchain.errors import (
    ConfigurationError,
    DefinitionError,
    GateBlockedError,
    InputError,
    StepTimeoutError,
)
from promptchain.models.offline import OfflineModel
from promptchain.models.schema_in_prompt import SchemaInPrompt
from promptchain.settings import Profile, Settings
from promptchain.testing import MessagesAPI


def say(**variables: str) -> Settings:
    return Settings.read({f"PROMPTCHAIN_{name}": text for name, text in variables.items()})


class Seen:
    """A step whose gate keeps what holds for it."""

    def __init__(self, **options: Any) -> None:
        self.arguments: Any = None
        self.gates_mode: Any = None

        def keep(_: str, run: Run) -> bool:
            self.arguments = run.arguments
            return True

        self.step = Step("polish", prompt="{input}", gates=[Gate(keep)], **options)


def as_somebody_else(code: str) -> str:
    """What ``code`` prints when it is run by a user who may not read what is forbidden to others."""
    # What is ours is loaded before the user changes, as others may not reach it.
    first = "import os, dotenv.parser, promptchain.settings\nif os.getuid() == 0: os.setuid(65534)\n"
    done = subprocess.run(
        [sys.executable, "-c", first + code], cwd="/", capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


def model_asked(api: MessagesAPI) -> list[tuple[str, str | None]]:
    return [(entry.model, entry.received.get("output_config", {}).get("effort")) for entry in api.bill]


# What comes before what

VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(["own-1", "own-2", "own-3", "offline"]),
    "max_tokens": st.integers(1, 9_999),
    "temperature": st.sampled_from([0.0, 0.25, 1.0]),
    "top_p": st.sampled_from([0.0, 0.5]),
    "effort": st.sampled_from(["low", "medium", "high"]),
    "service_tier": st.sampled_from(["auto", "standard_only"]),
    "max_reasks": st.integers(0, 20),
    "timeout": st.sampled_from([90.0, 120.5, 270.0]),
}
SAID = st.fixed_dictionaries({}, optional=dict(VALUES))
SAID_BY_CHAIN = SAID.map(lambda said: {name: value for name, value in said.items() if name != "timeout"})
PLACES = ("INNER_POLISH_", "POLISH_", "")


def variables(place: str, said: Mapping[str, Any]) -> dict[str, str]:
    return {f"PROMPTCHAIN_{place}{name.upper()}": str(value) for name, value in said.items()}


@given(
    process=st.tuples(SAID, SAID, SAID),
    in_file=st.tuples(SAID, SAID, SAID),
    profile=st.tuples(SAID, SAID, SAID),
    code=st.tuples(SAID, SAID_BY_CHAIN, SAID_BY_CHAIN),
)
def test_the_first_place_that_says_a_value_wins_in_a_run_and_in_what_check_shows(
    process: tuple[Any, ...], in_file: tuple[Any, ...], profile: tuple[Any, ...], code: tuple[Any, ...]
) -> None:
    by_path, by_name, for_all = profile
    of_step, of_inner, of_outer = code
    seen = Seen(**of_step)
    chain = Chain(
        "outer",
        Chain("inner", seen.step, **of_inner),
        profiles={"drawn": Profile(**for_all, steps={"inner/polish": by_path, "polish": by_name})},
        **of_outer,
    )
    environment = {"PROMPTCHAIN_PROFILE": "drawn"}
    for place, said in zip(PLACES, process, strict=True):
        environment |= variables(place, said)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "some.env")
        lines = [
            f"{name}={text}"
            for place, said in zip(PLACES, in_file, strict=True)
            for name, text in variables(place, said).items()
        ]
        file.write_text("\n".join(lines), "utf-8")
        settings = Settings.read(environment, file)

    merged = [{**there, **here} for here, there in zip(process, in_file, strict=True)]
    order = [merged[0], merged[1], *profile, *code, merged[2], {"max_tokens": 4096, "max_reasks": 2}]
    expected = {name: next((s[name] for s in order if name in s), None) for name in VALUES}

    chain.run_sync("x", model=ScriptedModel("done"), settings=settings)
    (place,) = [p for p in outline(chain, settings.overrides(chain.profiles)) if p.path == "inner/polish"]
    for arguments in (seen.arguments, place.effective.arguments):
        held = {name: getattr(arguments, name) for name in VALUES}
        held["model"] = held["model"] and held["model"].name
        assert held == expected
    assert {name for name in place.effective.origins if name != "gates_mode"} == {
        name for name, value in expected.items() if value is not None
    }


async def test_a_model_that_is_handed_to_the_run_comes_before_all_settings() -> None:
    model = ScriptedModel("done", name="handed")
    chain = Chain("c", Step("a", prompt="{input}"), model="claude-haiku-4-5")
    result = await chain.run("x", model=model, settings=say(A_MODEL="claude-opus-5", PROFILE="cost"))
    assert [a.model for a in result.ledger] == ["handed"]


# On the wire


class Draft(BaseModel):
    content: str


def drafted(**options: Any) -> Chain[str, str]:
    stages = Step("draft", prompt="{input}", output=Draft) | Step("polish", prompt="{draft.content}")
    return Chain("drafted", stages, model="claude-haiku-4-5", **options)


async def test_one_chain_under_three_profiles_sends_three_sets_of_requests(
    messages_api: MessagesAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = drafted()
    sent: dict[str, list[tuple[str, str | None]]] = {}
    for name in ("cost", "balanced", "accuracy"):
        monkeypatch.setenv("PROMPTCHAIN_PROFILE", name)
        before = len(messages_api.bill)
        result = await chain.run("Say hello.")
        sent[name] = model_asked(messages_api)[before:]
        assert result.cost is not None
    assert sent == {
        "cost": [("claude-haiku-5-5", "low")] * 2,
        "balanced": [("claude-sonnet-5-5", "medium")] * 2,
        "accuracy": [("claude-opus-5-5", "high")] * 2,
    }
    monkeypatch.delenv("PROMPTCHAIN_PROFILE")
    await chain.run("Say hello.")
    assert model_asked(messages_api)[-2:] == [("claude-haiku-4-5", None)] * 2


async def test_a_profile_of_the_chain_comes_before_the_built_in_one_and_may_say_more_of_single_steps(
    messages_api: MessagesAPI,
) -> None:
    thrifty = Profile(
        model="claude-haiku-5-5", effort="low", steps={"polish": {"model": "claude-sonnet-5-5"}}
    )
    inner = drafted(profiles={"cost": Profile(effort="max")})
    chain = Chain("outer", inner, profiles={"cost": thrifty})
    await chain.run("Say hello.", settings=say(PROFILE="cost"))
    assert model_asked(messages_api) == [("claude-haiku-5-5", "low"), ("claude-sonnet-5-5", "low")]


async def test_a_variable_of_a_step_changes_that_step_only(messages_api: MessagesAPI) -> None:
    settings = say(POLISH_MODEL="claude-opus-5", POLISH_MAX_TOKENS="77", POLISH_EFFORT="low")
    await drafted().run("Say hello.", settings=settings)
    draft, polish = messages_api.bill
    assert (draft.model, draft.received["max_tokens"]) == ("claude-haiku-4-5", 4096)
    assert (polish.model, polish.received["max_tokens"]) == ("claude-opus-5", 77)
    assert polish.received["output_config"] == {"effort": "low"}


async def test_a_name_is_asked_for_where_the_model_that_it_replaces_is(
    messages_api: MessagesAPI,
) -> None:
    with MessagesAPI(keys=["own-key"]) as api:
        own = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="own-key")
        for model in (own, SchemaInPrompt(own)):
            chain = Chain("c", Step("a", prompt="{input}"), model=model)
            for settings in (say(PROFILE="balanced"), say(A_MODEL="claude-opus-5")):
                await chain.run("Say hello.", settings=settings)
        asked = [("claude-sonnet-5-5", 200), ("claude-opus-5", 200)]
        assert [(r.model, r.status) for r in api.bill] == asked * 2
    assert len(messages_api.bill) == 0
    assert own.name == "claude-haiku-4-5"


async def test_offline_is_the_stand_in_whoever_is_replaced(messages_api: MessagesAPI) -> None:
    chain = Chain("c", Step("a", prompt="{input}"), model="claude-haiku-4-5")
    result = await chain.run("Say hello.", settings=say(A_MODEL="offline"))
    assert [a.model for a in result.ledger] == [OfflineModel.name]
    assert len(messages_api.bill) == 0


async def test_a_model_that_cannot_be_asked_by_another_name_is_not_left_for_the_public_api(
    messages_api: MessagesAPI,
) -> None:
    kept, own = ScriptedModel("never"), ScriptedModel("mine", name="own")
    for model in (kept, SchemaInPrompt(kept)):
        chain = Chain("c", Step("a", prompt="{input}"), model=model, profiles={"own": Profile(model=own)})
        with pytest.raises(
            ConfigurationError, match="profile 'cost': 'claude-haiku-5-5' cannot take the place of"
        ):
            await chain.run("Say hello.", settings=say(PROFILE="cost"))
    assert len(messages_api.bill) == 0
    assert (await chain.run("Say hello.", settings=say(PROFILE="own"))).output == "mine"
    assert kept.requests == []


async def test_a_model_that_fails_to_be_renamed_is_named() -> None:
    class Fickle(ScriptedModel):
        def renamed(self, name: str) -> Any:
            raise KeyError(name)

    chain = Chain("c", Step("a", prompt="{input}"), model=Fickle("never", name="fickle-1"))
    with pytest.raises(
        ConfigurationError,
        match=r"'fickle-1' cannot be asked as 'claude-opus-5': its renamed\(\) raised KeyError",
    ) as caught:
        await chain.run("x", settings=say(A_MODEL="claude-opus-5"))
    assert isinstance(caught.value.__cause__, KeyError)


async def test_settings_name_a_model_for_steps_of_which_the_code_names_none(
    messages_api: MessagesAPI,
) -> None:
    chain = Chain("c", Step("a", prompt="{input}") | Chain("d", Step("b", prompt="{input}")))
    with pytest.raises(DefinitionError, match="no model is named for d/b: "):
        await chain.run("x", settings=say(A_MODEL="claude-haiku-4-5"))
    assert len(messages_api.bill) == 0
    await chain.run("x", settings=say(MODEL="claude-haiku-4-5", D_B_MODEL="claude-opus-5"))
    assert [r.model for r in messages_api.bill] == ["claude-haiku-4-5", "claude-opus-5"]


async def test_what_settings_make_of_a_step_that_its_model_does_not_take_is_not_sent(
    messages_api: MessagesAPI,
) -> None:
    chain = Chain("c", Step("a", prompt="{input}", temperature=0.2), model="claude-haiku-4-5")
    with pytest.raises(DefinitionError, match=r"step 'a': claude-haiku-5-5 takes no temperature"):
        await chain.run("x", settings=say(PROFILE="cost"))
    assert len(messages_api.bill) == 0


# When the environment is read


async def test_the_environment_is_read_when_a_run_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen()
    chain = Chain("c", seen.step)
    monkeypatch.setenv("PROMPTCHAIN_POLISH_MAX_TOKENS", "7")
    stream = chain.stream("x", model=ScriptedModel("done"))
    monkeypatch.setenv("PROMPTCHAIN_POLISH_MAX_TOKENS", "8")
    async with stream:
        await stream.result()
    assert seen.arguments.max_tokens == 8
    await chain.run("x", model=ScriptedModel("done"), settings=Settings())
    assert seen.arguments.max_tokens is None


async def test_a_wrong_setting_is_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ScriptedModel("never")
    monkeypatch.setenv("PROMPTCHAIN_EFFORT", "huge")
    chain = Chain("c", Step("a", prompt="{input}"), model=model)
    with pytest.raises(ConfigurationError, match="PROMPTCHAIN_EFFORT"):
        await chain.run("x")
    with pytest.raises(ConfigurationError, match="PROMPTCHAIN_EFFORT"):
        async with chain.stream("x") as stream:
            await stream.result()
    with pytest.raises(InputError, match=r"settings are what Settings.read\(\) gives, not 'cost'"):
        await chain.run("x", settings="cost")  # type: ignore[arg-type]
    assert model.requests == []


def test_a_run_without_settings_loads_no_parser_of_files_and_touches_no_file() -> None:
    code = (
        "import sys\n"
        "from promptchain import Chain, ScriptedModel, Step\n"
        "files = []\n"
        "sys.addaudithook(lambda e, a: e == 'open' and str(a[0]).endswith('.env') and files.append(a))\n"
        "Chain('c', Step('a', prompt='{input}'), model=ScriptedModel('x')).run_sync('x')\n"
        "print('dotenv' in sys.modules, files)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, ".env").write_text("PROMPTCHAIN_MODEL=two words", "utf-8")
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False, timeout=60
        )
    assert (done.stdout, done.stderr) == ("False []\n", "")


# Functions and gates


async def test_a_function_takes_its_timeout_from_the_settings() -> None:
    @step(timeout=60)
    async def waits(text: str) -> str:
        await asyncio.sleep(30)
        return text

    with pytest.raises(StepTimeoutError, match=r"its timeout of 1 s"):
        await Chain("c", waits).run("x", settings=say(WAITS_TIMEOUT="1"))


async def test_gates_are_switched_off_and_made_lenient_also_those_of_an_input() -> None:
    def refuse(_: str) -> bool:
        return False

    own = Gate(refuse, "never", name="own", mode="strict")
    chain = Chain(
        "c",
        Step("a", prompt="{input}", gates=[Gate(refuse, "no")], gates_mode="strict"),
        model=ScriptedModel(*["x"] * 9),
        input_gates=[Gate(refuse, "no input")],
    )
    with pytest.raises(GateBlockedError, match="no input"):
        await chain.run("x", settings=Settings())
    lenient = await chain.run("x", settings=say(GATES_MODE="lenient"))
    assert [(j.step, j.mode, j.verdict.decision) for j in lenient.judgements] == [
        ("", "lenient", "block"),
        ("a", "lenient", "block"),
    ]
    off = await chain.run("x", settings=say(GATES="off", GATES_MODE="strict"))
    assert off.judgements == ()
    strict = Chain("c", Step("a", prompt="{input}", gates=[own]), model=ScriptedModel("x"))
    with pytest.raises(GateBlockedError, match="'own'"):
        await strict.run("x", settings=say(GATES_MODE="lenient"))


async def test_gates_are_told_the_least_confidence() -> None:
    told: list[float | None] = []

    def keep(_: str, run: Run) -> bool:
        told.append(run.min_confidence)
        return True

    chain = Chain("c", Step("a", prompt="{input}", gates=[Gate(keep)]), model=ScriptedModel("x", "x"))
    await chain.run("x", settings=say(MIN_CONFIDENCE="0.75"))
    await chain.run("x", settings=Settings())
    assert told == [0.75, None]


# Values


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("MAX_TOKENS", "many", "max_tokens is a whole number of tokens of at least 1, not 'many'"),
        ("MAX_TOKENS", "1_000", "max_tokens is a whole number of tokens .* not '1_000'"),
        ("A_MAX_TOKENS", "\uff11\uff10", "max_tokens is a whole number of tokens .* not '\uff11\uff10'"),
        ("A_TIMEOUT", "\u0663", "timeout is a number of seconds from 1 to 270, not '\u0663'"),
        ("MAX_TOKENS", "0", "max_tokens is a whole number .* not 0"),
        ("A_MAX_TOKENS", "1.5", "max_tokens is a whole number .* not '1.5'"),
        ("A_TEMPERATURE", "1.01", "temperature is a number from 0 to 1, not 1.01"),
        ("TOP_P", "nan", "top_p is a number from 0 to 1"),
        ("EFFORT", "hihg", "effort is one of low, .*Did you mean 'high'"),
        ("SERVICE_TIER", "fast", "service_tier is one of auto, standard_only"),
        ("MAX_REASKS", "21", "max_reasks is a whole number of requests from 0 to 20, not 21"),
        ("TIMEOUT", "0.99", "timeout is a number of seconds from 1 to 270, not '0.99'"),
        ("A_TIMEOUT", "270.1", "timeout is a number of seconds from 1 to 270, not '270.1'"),
        ("TIMEOUT", "inf", "timeout is a number of seconds from 1 to 270, not 'inf'"),
        ("TIMEOUT", "soon", "timeout is a number of seconds from 1 to 270, not 'soon'"),
        ("MODEL", "two words", "'two words' cannot be the name of a model"),
        ("GATES", "of", "is on or off, not 'of'. Did you mean 'off'"),
        ("GATES_MODE", "lax", "gates_mode is one of strict, lenient, not 'lax'"),
        ("MIN_CONFIDENCE", "85", "is a number from 0 to 1, not '85'"),
        ("MIN_CONFIDENCE", "0.0_1", "is a number from 0 to 1, not '0.0_1'"),
        ("MIN_CONFIDENCE", "nan", "is a number from 0 to 1, not 'nan'"),
        ("MIN_CONFIDENCE", "sure", "is a number from 0 to 1, not 'sure'"),
    ],
)
def test_a_bad_value_names_the_variable_and_what_is_allowed(
    variable: str, text: str, says: str, tmp_path: Path
) -> None:
    def run(settings: Settings) -> None:
        Chain("c", Step("a", prompt="{input}"), model=ScriptedModel()).run_sync("x", settings=settings)

    with pytest.raises(ConfigurationError, match=f"^PROMPTCHAIN_{variable}:? {says}"):
        run(say(**{variable: text}))
    file = tmp_path / ".env"
    file.write_text(f"# ours\n\nPROMPTCHAIN_{variable} = {text}\n", "utf-8")
    with pytest.raises(ConfigurationError, match=rf"^PROMPTCHAIN_{variable} \(.*\.env, line 3\):? {says}"):
        run(Settings.read({}, file))


@pytest.mark.parametrize(
    ("text", "on"),
    [
        *(("on", True), ("TRUE", True), ("1", True), ("Yes", True)),
        *(("off", False), ("false", False), ("0", False), ("no", False)),
    ],
)
def test_gates_are_on_or_off_in_the_usual_words(text: str, on: bool) -> None:
    assert say(GATES=text).overrides({}).gates_are_on is on


def test_a_variable_that_is_empty_says_nothing_and_leaves_the_word_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PROMPTCHAIN_PROFILE=cost\nPROMPTCHAIN_EFFORT=low\nPROMPTCHAIN_TOP_P=\n", "utf-8")
    settings = Settings.read({"PROMPTCHAIN_PROFILE": " ", "PROMPTCHAIN_GATES": ""}, file)
    assert [variable.origin for variable in settings.variables] == [
        f"PROMPTCHAIN_PROFILE ({file}, line 1)",
        f"PROMPTCHAIN_EFFORT ({file}, line 2)",
    ]
    assert settings.profile is not None
    assert settings.profile.value == "cost"


@pytest.mark.parametrize(
    "variable",
    [
        "MAX_TOKENS",
        "A_MAX_REASKS",
        "A_TEMPERATURE",
        "EFFORT",
        "GATES",
        "GATES_MODE",
        "MIN_CONFIDENCE",
        "PROFILE",
    ],
)
@pytest.mark.parametrize("character", ["9", "x"])
def test_a_long_value_is_not_repeated_whole(variable: str, character: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        say(**{variable: character * 5_000}).overrides({}).effective("a", ())
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("environment", "env_file", "says"),
    [
        (
            {"PROMPTCHAIN_MODEL": 5},
            None,
            "PROMPTCHAIN_MODEL is a text, as the environment has no others, not 5",
        ),
        ("PROMPTCHAIN_MODEL=x", None, "environment maps names of variables to texts, unlike 'PROMPT"),
        ({}, 123, "env_file is the path of a file, not 123"),
        ({}, b".env", "env_file is the path of a file, not b'.env'"),
    ],
)
def test_what_is_no_environment_and_no_path_is_a_clear_error(
    environment: Any, env_file: Any, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Settings.read(environment, env_file)
    assert Settings.read({5: "x"}) == Settings()  # type: ignore[dict-item]


# The environment of a process is that of all its chains, and of others


def test_a_wrong_value_for_a_step_stops_only_chains_that_have_the_step() -> None:
    settings = say(DRAIN_TIMEOUT="5m", REQUEST_TIMEOUT="${T}")
    other = Chain("c", Step("a", prompt="{input}"), model=ScriptedModel("done"))
    assert other.run_sync("x", settings=settings).output == "done"
    model = ScriptedModel("never")
    chain = Chain("c", Step("a", prompt="{input}") | Step("drain", prompt="{input}"), model=model)
    with pytest.raises(ConfigurationError, match=r"^PROMPTCHAIN_DRAIN_TIMEOUT: timeout is .* not '5m'"):
        chain.run_sync("x", settings=settings)
    assert model.requests == []


OF_OTHERS = {
    "JWT_SECRET_KEY": "s3cret-${x}",
    "LOG_LEVEL": "debug",
    "TOKEN": "s3cret",
    "SERVER_PORT": "80",
    "SERVER_WORKERS": "4",
    "HOME": "/",
}


def test_variables_of_another_purpose_say_nothing_and_cost_a_run_nothing() -> None:
    settings = say(**OF_OTHERS)
    assert settings.says_nothing
    assert settings.unmatched([("draft", ("model", "timeout"))]) == {}
    assert not say(**OF_OTHERS, MODEL="x").says_nothing
    assert not say(DRAIN_TIMEOUT="5m").says_nothing
    assert not say(GATES="on").says_nothing
    assert Settings().says_nothing
    assert not Settings().choosing("cost", "--profile").says_nothing


def test_no_value_stands_in_what_settings_show_of_themselves() -> None:
    settings = say(**OF_OTHERS, DRAFT_MODEL="s3cret", MODEL="s3cret")
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in repr(settings.overrides({}))
    assert "PROMPTCHAIN_JWT_SECRET_KEY" in repr(settings)


def test_settings_can_be_copied_and_sent_to_another_process() -> None:
    settings = say(PROFILE="cost", GATES_MODE="lenient", MODEL="claude-opus-5", A_EFFORT="low")
    for copied in (copy.deepcopy(settings), pickle.loads(pickle.dumps(settings))):  # noqa: S301 - our own
        assert copied == settings
        held = copied.overrides({}).effective("a", ())
        assert (held.arguments.effort, held.origins["model"]) == ("low", "profile 'cost'")


def test_another_thread_may_change_the_environment_meanwhile() -> None:
    code = (
        "import os, sys, threading, time\n"
        "from promptchain.settings import Settings\n"
        "sys.setswitchinterval(1e-6)\n"
        "ended = False\n"
        "def change():\n"
        "    while not ended:\n"
        "        for number in range(50):\n"
        "            os.environ[f'PROMPTCHAIN_X{number}_MODEL'] = 'x'\n"
        "        for number in range(50):\n"
        "            del os.environ[f'PROMPTCHAIN_X{number}_MODEL']\n"
        "thread = threading.Thread(target=change)\n"
        "thread.start()\n"
        "try:\n"
        "    for _ in range(3_000):\n"
        "        Settings.read()\n"
        "finally:\n"
        "    ended = True\n"
        "    thread.join()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_variable_that_is_removed_while_it_is_read_says_nothing() -> None:
    class Vanishing(dict[str, str]):
        def __iter__(self) -> Iterator[str]:
            return iter(["PROMPTCHAIN_MODEL"])

    assert Settings.read(Vanishing()) == Settings()


async def test_a_test_may_put_a_plain_dictionary_in_the_place_of_the_environment() -> None:
    seen = Seen()
    chain = Chain("c", seen.step, model=ScriptedModel("x", "x"))
    with mock.patch("os.environ", {"PROMPTCHAIN_POLISH_MAX_TOKENS": "7", "HOME": "/"}):
        await chain.run("x")
    assert seen.arguments.max_tokens == 7
    with mock.patch("os.environ", {}):
        await chain.run("x")
    assert seen.arguments.max_tokens is None


def test_other_variables_are_none_of_ours() -> None:
    assert Settings.read(
        {"MODEL": "x y", "PROMPTCHAINMODEL": "x y", "PROMPTCHAIN_FORBID_REAL_CALLS": "1"}
    ) == (Settings())


# Profiles


def test_an_unknown_profile_is_an_error_with_the_known_and_the_nearest() -> None:
    chain = Chain(
        "c", Step("a", prompt="{input}"), model=ScriptedModel("x"), profiles={"thrift": Profile(effort="low")}
    )
    with pytest.raises(
        ConfigurationError,
        match=r"^PROMPTCHAIN_PROFILE: there is no profile 'cots'\. Did you mean 'cost'\? "
        r"Known: accuracy, balanced, cost, thrift\.$",
    ):
        chain.run_sync("x", settings=say(PROFILE="cots"))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Profile(modle="x"), "a profile takes no 'modle'.*Did you mean 'model'"),  # type: ignore[call-arg]
        (lambda: Profile(max_tokens=0), "max_tokens is a whole number"),
        (lambda: Profile(steps={"a": {"effort": "huge"}}), "effort is one of"),  # type: ignore[typeddict-item]
        (lambda: Profile(steps=["a"]), "steps maps names of steps"),  # type: ignore[arg-type]
        (lambda: Profile(steps={1: {"effort": "low"}}), "steps maps names of steps .* and 1 is none"),  # type: ignore[dict-item]
        (lambda: Profile(steps={" a": {"effort": "low"}}), "steps maps names of steps .* and ' a' is none"),
        (lambda: Profile(steps={"a": "low"}), "what a profile says of a step is a mapping"),  # type: ignore[dict-item]
    ],
)
def test_what_is_wrong_with_a_profile_is_said_when_it_is_made(make: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        make()


@pytest.mark.parametrize(
    ("profiles", "says"),
    [
        ({"cost": {"effort": "low"}}, "profiles maps names to profiles"),
        ([Profile()], "profiles maps names to profiles"),
        ({"": Profile()}, "profiles maps names to profiles"),
        (
            {"cost": Profile(steps={"inner/polsh": {"effort": "low"}})},
            "the profile 'cost' says something of 'inner/polsh', which is no step.*mean 'inner/polish'",
        ),
    ],
)
def test_what_is_wrong_with_the_profiles_of_a_chain_is_said_when_it_is_built(
    profiles: Any, says: str
) -> None:
    inner = Chain("inner", Step("polish", prompt="{input}"))
    with pytest.raises(DefinitionError, match=says):
        Chain("c", inner, profiles=profiles)


@pytest.mark.parametrize("path", ["draft/branch[2]", "draft[0]/branch[17]", "branch[3]", "draft/branch"])
def test_the_copies_of_a_stage_go_by_its_name(path: str) -> None:
    profile = Profile(steps={"branch": {"effort": "low"}})
    held = say(BRANCH_MAX_TOKENS="7", PROFILE="own").overrides({"own": profile}).effective(path, ())
    assert (held.arguments.max_tokens, held.arguments.effort) == (7, "low")
    if "/" in path:
        held = say(DRAFT_BRANCH_MAX_TOKENS="8", BRANCH_MAX_TOKENS="7").overrides({}).effective(path, ())
        assert held.arguments.max_tokens == 8
    assert say(BRANCH_MAX_TOKENS="7").unmatched([(path, ("max_tokens",))]) == {}


def test_a_profile_and_a_chain_show_what_they_hold() -> None:
    profile = Profile(effort="low", temperature=0, steps={"a": {"max_tokens": 5}})
    assert repr(profile) == "Profile(temperature=0, effort='low', steps['a'])"
    assert dict(Chain("c", Step("a", prompt="{input}"), profiles={"p": profile}).profiles) == {"p": profile}


# Files


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "some.env"
    file.write_bytes(
        "\ufeff# a comment\r\n\r\n"
        "OTHER=${HOME} is not ours\r\n"
        "LONELY='several\nlines'\r\n"
        'export PROMPTCHAIN_MODEL="claude-opus-5"  # why\r\n'
        "PROMPTCHAIN_EFFORT=low\r\n"
        "PROMPTCHAIN_EFFORT='high'\r\n".encode()
    )
    settings = Settings.read({}, file)
    assert [(v.text, v.origin) for v in settings.variables] == [
        ("claude-opus-5", f"PROMPTCHAIN_MODEL ({file}, line 6)"),
        ("high", f"PROMPTCHAIN_EFFORT ({file}, line 8)"),
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"A=1\n\n\nB='never ends\nC=2\n", "line 4 sets nothing: write NAME=value"),
        (b"A=1\nSECRET\n", "line 2 sets nothing"),
        (b"A=1\nB=\xff\n", "line 2 is not UTF-8: byte 0xff"),
        (b"A=1\nB=SECRET\0\n", "line 2 holds a NUL"),
        (
            b"A=1\n'ANTHROPIC_X=Y'=SECRET\n",
            "line 2: what stands before the '=' cannot be the name of a variable",
        ),
        (
            b"A=1\n\n'B\nPROMPTCHAIN_X_MODEL'=SECRET\n",
            "line 3: what stands before the '=' cannot be the name",
        ),
        (b"'\x1b[2J'=SECRET\n", "line 1: what stands before the '=' cannot be the name of a variable"),
        (b"A=1\nB=x" + b" " * 40_000 + b"y\n", "line 2 has more than 250 blanks in a row: leave them out"),
        (b"A=1\nB=x" + "\u3000".encode() * 300 + b"y\n", "line 2 has more than 250 blanks in a row"),
        (b"PROMPTCHAIN_MODEL=${OTHER}\n", r"line 1\): values are taken as they are written"),
        (b"PROMPTCHAIN_MODEL=a\n" * 60_000, "is longer than 1,048,576 bytes"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line_and_without_what_stands_there(
    data: bytes, says: str, tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    file.write_bytes(data)
    with pytest.raises(ConfigurationError, match=says) as caught:
        Settings.read({}, file)
    assert str(file) in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "staging.env").touch()
    with pytest.raises(ConfigurationError, match=r"stagin.env' does not exist. Did you mean 'staging.env'"):
        Settings.read({}, tmp_path / "stagin.env")
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        Settings.read({}, tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be read: embedded null byte"):
        Settings.read({}, "a\0b")


BIG = 1024 * 1024
SHAPES = {
    "blanks up to the most": b"A=" + (b"x" + b" " * 250) * 4_000,
    "blanks before a number sign": b"A=" + (b"x" + b" " * 249 + b"#") * 4_000,
    "blank lines": b"\n" * (BIG - 10),
    "one long value": b"A=" + b"x" * (BIG - 10),
    "one long name": b"x" * (BIG - 10) + b"=1",
    "a quotation mark that does not end": b"A='" + b"x\\" * (BIG // 2 - 10),
    "many of them": b"A='\\'\n" * (BIG // 7),
    "number signs": b"A=" + b" #" * (BIG // 2 - 10),
    "a long comment": b"#" * (BIG - 10),
    "carriage returns": b"A=1\r" * (BIG // 40),
    "escapes": b'A="' + b"\\n" * (BIG // 2 - 10) + b'"',
}


@pytest.mark.parametrize("shape", SHAPES)
def test_no_file_takes_long_to_read(shape: str, tmp_path: Path) -> None:
    """A file that takes time by the square of its size would take more than a minute."""
    (tmp_path / "big.env").write_bytes(SHAPES[shape])
    code = (
        "from promptchain.errors import ConfigurationError\nfrom promptchain.settings import Settings\n"
        "try:\n    Settings.read({}, 'big.env')\nexcept ConfigurationError: pass"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)


def test_a_folder_that_may_not_be_listed_is_no_reason_for_another_error() -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place, "entered")
        folder.mkdir()
        (folder / "staging.env").touch()
        folder.chmod(0o311)
        file = str(folder / "stagin.env")
        code = (
            f"try:\n    promptchain.settings.Settings.read({{}}, {file!r})\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        assert as_somebody_else(code) == f"ConfigurationError the file {file!r} does not exist.\n"
        folder.chmod(0o755)


def test_a_file_that_forbids_real_calls_in_vain_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text("PROMPTCHAIN_FORBID_REAL_CALLS=1\n", "utf-8")
    assert Settings.read({}, file) == Settings()
    monkeypatch.setenv("PROMPTCHAIN_FORBID_REAL_CALLS", "")
    with pytest.raises(ConfigurationError, match="line 1.* forbids nothing"):
        Settings.read({}, file)
    monkeypatch.delenv("PROMPTCHAIN_FORBID_REAL_CALLS")
    with pytest.raises(ConfigurationError, match="line 1.* forbids nothing: set it in the environment"):
        Settings.read({}, file)


# Variables that say nothing


def test_a_variable_that_says_nothing_of_a_chain_is_found_with_the_one_that_was_meant() -> None:
    @step
    def shorten(text: str) -> str:
        return text

    chain = Chain("c", Step("analyze", prompt="{input}") | shorten | Chain("d", Step("b-c", prompt="x")))
    settings = say(
        ANALYZE_MODEL="a",
        D_B_C_EFFORT="low",
        B_C_TIMEOUT="5",
        SHORTEN_TIMEOUT="5",
        PROFILE="cost",
        ANALYSE_MODEL="a",
        SHORTEN_MODEL="a",
        GATE="off",
        ANALYZE_THINKING="x",
    )
    places = outline(chain, settings.overrides({}))
    unmatched = settings.unmatched((place.path, place.stage.settable) for place in places)
    assert list(unmatched) == [
        "PROMPTCHAIN_ANALYSE_MODEL",
        "PROMPTCHAIN_SHORTEN_MODEL",
        "PROMPTCHAIN_GATE",
        "PROMPTCHAIN_ANALYZE_THINKING",
    ]
    assert unmatched["PROMPTCHAIN_ANALYSE_MODEL"] == " Did you mean 'PROMPTCHAIN_ANALYZE_MODEL'?"
    assert unmatched["PROMPTCHAIN_GATE"] == " Did you mean 'PROMPTCHAIN_GATES'?"


def test_many_misspelt_variables_of_a_long_chain_are_found_without_hints() -> None:
    steps = [(f"step-{number}", ("model", "max_tokens", "timeout")) for number in range(2_000)]
    few = say(STPE_7_MODEL="x")
    assert few.unmatched(steps) == {"PROMPTCHAIN_STPE_7_MODEL": " Did you mean 'PROMPTCHAIN_STEP_7_MODEL'?"}
    many = say(**{f"STPE_{number}_MODEL": "x" for number in range(20)})
    assert set(many.unmatched(steps).values()) == {""}
    assert len(many.unmatched(steps)) == 20


@pytest.mark.parametrize(
    "name", ["GATE", "PROFLE", "GATES_MOD", "MIN_CONFIDENSE", "MODLE", "DRAFT_TIMOUT", "FORBID_REAL_CALL"]
)
def test_a_misspelt_variable_is_told_from_one_of_another_purpose(name: str) -> None:
    assert list(say(**{name: "x"}).unmatched([])) == [f"PROMPTCHAIN_{name}"]
