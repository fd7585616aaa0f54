"""The warning label of a model: one page in plain words, every number of it from records."""
