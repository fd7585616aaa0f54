"""docs/notebook.ipynb: its cells executed, and written again without what differs between machines.

python -m tests.notebook        executes the notebook that stands in docs/ and writes it back with its outputs
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def executed(folder: Path) -> Any:
    """The notebook with the outputs of a fresh kernel that works in ``folder``; raises where a cell fails."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources=resources).execute()
    return cleaned(notebook)


def cleaned(notebook: Any) -> Any:
    """Without times, ids of this run and the machine's kernel."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for i, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = {}, f"cell-{i}"
        if cell.cell_type == "code":  # what a library says of this machine on standard error is no result
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.get("outputs", ()):
            output.pop("transient", None)
            if "metadata" in output:
                output.metadata = {}
    return notebook


def outputs(notebook: Any) -> list[list[str]]:
    """Per code cell what it printed and showed, HTML included."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            texts = []
            for output in cell.outputs:
                shown = [output.get("text", ""), *(text for _, text in sorted(output.get("data", {}).items()))]
                texts += ["".join(text) for text in shown if text]
            found.append(texts)
    return found


def steady(text: str) -> str:
    """Without numbers: what is left is the same on every machine."""
    text = re.sub(r"<svg.*?</svg>", "<svg>", text)
    text = re.sub(r"\b[0-9a-f]{12,}\b|[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?", "#", text)
    return re.sub(r"cpu \([^)]*\)", "cpu", " ".join(text.split()))


def main() -> None:
    """Execute and write back."""
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(executed(Path(folder)), NOTEBOOK)


if __name__ == "__main__":
    main()
