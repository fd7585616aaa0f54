"""Tables and pictures of reconstructions. No torch: images come from what the cells kept."""
