"""The notebook of the examples runs from top to bottom in a kernel of its own, and is kept without its outputs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebook.ipynb"

# In a process of its own, as what Jupyter warns about is not ours. In the cells a warning is an error.
STRICT = "import warnings\n\nwarnings.simplefilter('error')"
EXECUTE = """\
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell: NotebookNode) -> str:
    texts = [output["text"] if "text" in output else output["data"]["text/plain"] for output in cell.outputs]
    return "".join(texts)


def test_the_notebook_is_kept_without_its_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in cells(notebook):
        assert cell.outputs == [], f"clear the outputs of {NOTEBOOK.name}: {cell.source[:60]!r} has some"
        assert cell.execution_count is None


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, offline_env: dict[str, str]) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.insert(0, new_code_cell(STRICT))
    given, done = tmp_path / "given.ipynb", tmp_path / "done.ipynb"
    nbformat.write(notebook, given)
    # Jupyter would write into the home of whoever runs the tests.
    homes = {
        name: str(tmp_path / name) for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR")
    }

    ran = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(given), str(done)],
        cwd=tmp_path,
        env={**offline_env, **homes},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    _, _, output, ticket, ledger, streamed, in_a_function, at_once = (
        shown(cell) for cell in cells(nbformat.read(done, as_version=4))
    )
    assert ticket.startswith("Ticket(product=")
    assert [line.split()[0] for line in ledger.splitlines()] == ["read", "reply", "cost:"]
    assert streamed.strip() == output.strip() != ""
    assert in_a_function == "[True, True]"
    assert at_once.startswith("[")
