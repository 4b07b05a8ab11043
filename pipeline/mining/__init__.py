"""Cross-image validation: proposals of unlabelled images are pasted into labelled ones and detected again."""
