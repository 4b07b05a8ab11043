"""Networks: backbones, normalisation, heads and losses, and the registry of trained models."""
