"""What a run is worth: numbers, tables, figures and a card.

Doors: ``predictions``, ``scores``, ``report``, ``drawings``, ``membrane_scores``,
``card``.
"""
