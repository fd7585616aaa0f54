"""How files become samples: folders, tables, pictures, labels, classes, and what is left out."""
