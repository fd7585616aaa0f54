"""The wing's face: what it registers as a third party would, by the entry point ``mri`` of ``assay.plugins``.

Importing it loads no torch and none of the wing's libraries.
"""

from benchmark.mri import LIBRARIES, attacks, data, task

__all__ = ["LIBRARIES", "attacks", "data", "task"]
