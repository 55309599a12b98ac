"""Every method under every recipe: the same students, seeds and budget, and which differences are more than noise."""
