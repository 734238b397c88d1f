"""A run as files for servers and phones.

Doors: ``artefacts``.
"""
