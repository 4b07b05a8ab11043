"""What becomes of each proposal, and which images people are asked about."""
