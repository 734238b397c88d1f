"""From a run to files that production takes."""
