"""Whole networks from ONNX files, computed by torch: a reader, operators by name, and the module that runs them."""
