"""Fine-tuning: the loop, its optimizer, the average of the weights, checkpoints and recovery."""
