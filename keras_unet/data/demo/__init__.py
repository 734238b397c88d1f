"""The demo set: cars drawn by code, with exact masks."""
