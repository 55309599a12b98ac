"""From a heap of images to a training list: remove, score, select, merge."""
