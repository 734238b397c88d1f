"""The figures that a person looks at.

Doors: ``samples`` (data, augmentation, predictions), ``charts`` (history, scores),
``network`` (the U), ``canvas`` (masks over images).
"""
