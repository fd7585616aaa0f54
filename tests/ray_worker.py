"""What the nodes of the tests start in place of Ray's worker script, which it runs in a fork (:mod:`tests.warm`)."""

import os
import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import warm


def work(folder: str, args: list[str]) -> None:
    """What Ray's script does when a node starts it."""
    import ray

    os.chdir(folder)
    sys.argv = args
    runpy.run_path(str(Path(ray.__file__).parent / "_private" / "workers" / "default_worker.py"), run_name="__main__")


if __name__ == "__main__":
    from tests.ray_worker import work as importable

    warm.join(os.environ["ASSAY_FORKS"])
    process = warm.Process(target=importable, args=(os.getcwd(), sys.argv))  # noqa: PTH109
    process.start()
    process.join()
    sys.exit(process.exitcode)
