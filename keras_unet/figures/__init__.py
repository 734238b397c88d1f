"""The figures that a person looks at."""
