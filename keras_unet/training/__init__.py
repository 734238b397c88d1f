"""Training: what it computes with, what it keeps and what it says.

Doors: ``fit``, ``devices``, ``cluster``, ``logs``.
"""
