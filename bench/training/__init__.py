"""What training gains from its choices, and how fast it is."""
