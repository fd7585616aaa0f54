"""What pictures of tables and probes share: panels, small multiples, line styles, pixels."""
