"""Images that are no plain photographs, and what becomes of them: `python -m checks hostile`."""
