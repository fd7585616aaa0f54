"""Attack generators and the verifier, one file a family."""
