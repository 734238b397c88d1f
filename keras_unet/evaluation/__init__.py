"""What a run is worth: numbers, tables, figures and a card.

Doors: ``predictions``, ``scores``, ``shape_scores``, ``report``, ``drawings``,
``card``.
"""
