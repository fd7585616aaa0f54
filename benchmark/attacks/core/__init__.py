"""What iterative attacks share: calls of the network that are counted, losses, projections, the set of samples left."""
