"""Coverage-guided fuzzing of everything that reads hostile bytes: `python -m fuzz --seconds 60`; never installed."""
