"""Training recipes, one module per system; they need PyTorch (extra ``train``).

Using a trained model does not: :func:`ecgkit.load_model` runs the same weights in C.
"""
