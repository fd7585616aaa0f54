"""Model entries: finding, building, loading and wrapping them."""
