"""Images from lists to batches."""
