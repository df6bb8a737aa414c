"""How the networks run: devices and number types, bands of rows, memory, and the forms for each kind of machine."""
