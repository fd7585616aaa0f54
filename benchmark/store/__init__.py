"""Records and artefacts on disk."""
