"""suite.toml and entry.toml as pydantic models."""
