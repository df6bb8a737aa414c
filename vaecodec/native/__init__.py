"""Loops as machine code: numba compiles each once, later processes run it without numba.

numba takes a quarter of a second to import and as long again to load what it has kept, longer than a megapixel takes.
So what it compiles is kept here as object files, and llvmlite, which it brings along, places them in memory in
milliseconds. `loops` declares and finds them, `build` compiles, `cache` keeps files, `calling` calls what they hold.
"""
