"""Where networks are from: one file a source, found by the name before the colon of ``assay new --from``."""
