"""Chains by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptchain import Chain, PromptChainError
from promptchain.chains import answer
from promptchain.errors import LoadError, TemplateError
from promptchain.loading import load_chain

CHAIN = "from promptchain import Chain, Step\nchain = Chain('c', Step('ask', prompt='{input}'), model='m')\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current directory; what is imported in it is forgotten again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refused(target: str) -> LoadError:
    with pytest.raises(LoadError) as caught:
        load_chain(target)
    return caught.value


def test_an_installed_module_gives_its_chain() -> None:
    assert load_chain("promptchain.chains:answer") is answer


def test_a_module_of_the_current_directory_gives_its_chain(here: Path) -> None:
    (here / "mine_1.py").write_text(CHAIN)
    assert load_chain("mine_1:chain").name == "c"


def test_an_attribute_may_be_dotted(here: Path) -> None:
    (here / "mine_2.py").write_text(f"{CHAIN}class Chains:\n    first = chain\n")
    assert load_chain("mine_2:Chains.first") is load_chain("mine_2:chain")


def test_a_file_gives_its_chain_and_imports_its_neighbours(here: Path) -> None:
    folder = here / "some folder"
    folder.mkdir()
    (folder / "neighbour_1.py").write_text(CHAIN)
    (folder / "mine_3.py").write_text("from neighbour_1 import chain\n")
    assert load_chain("some folder/mine_3.py:chain") is load_chain("neighbour_1:chain")


def test_a_file_is_imported_once(here: Path) -> None:
    (here / "mine_4.py").write_text(CHAIN)
    first = load_chain("mine_4.py:chain")
    assert load_chain(f"{here}/mine_4.py:chain") is first
    assert load_chain("mine_4:chain") is first


def test_a_file_with_the_name_of_an_imported_module_takes_no_ones_place(here: Path) -> None:
    import json

    (here / "json.py").write_text(CHAIN)
    assert load_chain("json.py:chain").name == "c"
    assert load_chain("json.py:chain") is load_chain("json.py:chain")
    assert sys.modules["json"] is json


def test_a_file_that_failed_can_be_mended_and_loaded_again(here: Path) -> None:
    (here / "mine_5.py").write_text("1 / 0\n")
    assert "mine_5.py:1: division by zero" in str(refused("mine_5.py:chain"))
    (here / "mine_5.py").write_text(CHAIN)
    assert load_chain("mine_5.py:chain").name == "c"


def test_what_is_wrong_with_a_chain_keeps_its_words_its_step_and_its_cause(here: Path) -> None:
    (here / "mine_6.py").write_text(CHAIN.replace("{input}", "{inptu}"))
    error = refused("mine_6:chain")
    assert error.step == "ask"
    assert error.message.startswith("mine_6.py:2: ")
    assert isinstance(error.__cause__, TemplateError)
    assert error.__cause__.message in error.message


def test_the_place_is_the_users_line_and_not_the_librarys(here: Path) -> None:
    (here / "mine_7.py").write_text("import json\n\n\ndef read():\n    return json.loads('{')\n\n\nread()\n")
    assert str(refused("mine_7:chain")).startswith(
        "'mine_7' cannot be imported: JSONDecodeError at mine_7.py:5: "
    )


def test_an_error_in_an_imported_neighbour_is_placed_there(here: Path) -> None:
    (here / "neighbour_2.py").write_text("\nraise OSError('no disk')\n")
    (here / "mine_8.py").write_text("import neighbour_2\n")
    assert str(refused("mine_8:chain")) == "'mine_8' cannot be imported: OSError at neighbour_2.py:2: no disk"


def test_a_module_that_imports_what_is_missing_is_not_itself_missing(here: Path) -> None:
    (here / "mine_9.py").write_text("import not_there_1.part\n")
    error = refused("mine_9:chain")
    assert "there is no module" not in str(error)
    assert "ModuleNotFoundError at mine_9.py:1: No module named 'not_there_1'" in str(error)


def test_a_module_that_is_missing_is_named_with_the_nearest(here: Path) -> None:
    (here / "mine_10.py").write_text(CHAIN)
    error = refused("mine_1O:chain")
    assert "there is no module 'mine_1O'" in str(error)
    assert str(error).endswith("Did you mean 'mine_10'?")
    assert "'mine_10' is a module, not a package" in str(refused("mine_10.x:chain"))


def test_an_interrupt_is_no_load_error(here: Path) -> None:
    (here / "mine_11.py").write_text("raise KeyboardInterrupt\n")
    for target in ("mine_11:chain", "mine_11.py:chain"):
        with pytest.raises(KeyboardInterrupt):
            load_chain(target)


def test_an_attribute_that_raises_says_so(here: Path) -> None:
    (here / "mine_12.py").write_text("def __getattr__(name):\n    raise RuntimeError('not today')\n")
    assert "RuntimeError at mine_12.py:2: not today" in str(refused("mine_12:chain"))


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        (
            "stage",
            "is a stage, not a chain: name one that holds it, as in my_chain = Chain('my-chain', stage).",
        ),
        ("Chain", "is the class Chain, not a chain. Chains of mine_13: chain."),
        ("make", "is of type function, not a chain: name what it returns, as in my_chain = make()."),
        ("number", "is of type int, not a chain. Chains of mine_13: chain."),
        ("chian", "mine_13 has no 'chian'. Did you mean 'chain'? Chains of mine_13: chain."),
        ("chain.nmae", "Did you mean 'name'?"),
    ],
)
def test_what_is_not_a_chain_is_said_with_the_mend(here: Path, attribute: str, expected: str) -> None:
    more = "stage = Step('s', prompt='{input}')\nnumber = 1\ndef make(): return chain\n"
    (here / "mine_13.py").write_text(CHAIN + more)
    assert expected in str(refused(f"mine_13:{attribute}"))


@pytest.mark.parametrize(
    "target", ["", ":", "mine", "mine:", ":chain", "a b:chain", "class:chain", "a..b:chain", ".a:b"]
)
def test_a_target_of_the_wrong_form_is_shown_the_right_one(target: str) -> None:
    assert "as in 'promptchain.chains:answer'" in str(refused(target))


def test_a_load_error_is_of_the_family(here: Path) -> None:
    assert isinstance(refused("nothing_1:chain"), PromptChainError)
    (here / "mine_14.py").write_text("x = 1\n")
    assert str(refused("mine_14:chain")).endswith("There is no chain in mine_14.")
    assert isinstance(load_chain("promptchain.chains:answer"), Chain)
