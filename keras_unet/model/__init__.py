"""The network of the paper, its losses and its metrics.

Doors: ``unet``, ``layers``, ``losses``, ``metrics``, ``weight_map``.
"""
