"""What a run is worth: numbers, tables and figures.

Doors: ``predictions``, ``scores``, ``report``, ``drawings``, ``membrane_scores``.
"""
