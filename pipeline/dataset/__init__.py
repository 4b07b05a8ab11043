"""Images, labels and their versions."""
