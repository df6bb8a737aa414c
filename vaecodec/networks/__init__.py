"""The networks: what is trained, see `network` for the diagram."""
