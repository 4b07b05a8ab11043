"""The pages of versions, classes and models, and the data beside every page."""
