"""A run's network on images of any size and number.

Doors: ``segmenter``, ``tiles``, ``files``, ``inputs``,
``weights_file``.
"""
