"""What a run is worth: numbers, tables and figures.

Doors: ``scores``, ``report``, ``membrane_scores``.
"""
