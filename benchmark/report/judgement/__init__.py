"""How a task judges, for every part of a report: by verdicts on samples, or by numbers."""
