"""Coverage-guided fuzzing of everything that reads hostile bytes: `python -m checks fuzz --seconds 60`."""
