"""Who answers: people in Label Studio, or the simulated annotator of experiments."""
