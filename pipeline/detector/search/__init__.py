"""Search for a backbone: paths of the default one that are fast here and find much (DetNAS, arXiv 1903.10979)."""
