"""Plan and records of a suite, read and counted: rows, verdicts, rates, scores. A report is written from it."""
