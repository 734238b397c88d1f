"""What a run is worth: numbers, tables and figures.

Doors: ``scores``, ``report``, ``drawings``, ``membrane_scores``.
"""
