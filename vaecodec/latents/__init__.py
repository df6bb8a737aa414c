"""The latent space at work: search and duplicates, blends, samples and a map, all from compressed files.

Above `codec`, below the command line. What needs a library of the extra `vaecodec[latents]` says so in one line.
"""
