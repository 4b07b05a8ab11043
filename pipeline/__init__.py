"""crosscheck: cross-image checks decide which boxes a machine may write and which a person must draw."""
