"""The integer scale network: z_hat -> scale index of every y, equal on every machine (Balle et al. 2019, ICLR)."""
