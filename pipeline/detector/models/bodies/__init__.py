"""Bodies of backbones, a family per module; `backbones.py` imports a family once a setting names it."""
