"""The student alone: weights, static inference model, and how to fine-tune it."""
