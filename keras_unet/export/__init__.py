"""A run as files for servers, phones and browsers.

Doors: ``artefacts``.
"""
