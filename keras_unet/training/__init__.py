"""Training: what it computes with, what it keeps and what it says.

Doors: ``fit``, ``budget``, ``devices``, ``cluster``, ``logs``.
"""
