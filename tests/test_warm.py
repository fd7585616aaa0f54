"""The process that commands of tests are forked from has imported what it should: else tests pass, but slowly."""

from tests import warm

ASKED = """
import sys
known = dict(sys.modules)
names = ("torch", "captum.attr", "benchmark.cli.main", "benchmark.schedule.pool", "benchmark.report.write")
print([name for name in names if name not in known])
"""


def test_a_fork_has_everything_imported(tmp_path):
    """A fork server swallows what its preloading raises."""
    done = warm.run(warm.code, tmp_path, ASKED, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
