"""Ensembles of trees as arrays, from each library, and as an ONNX graph."""
