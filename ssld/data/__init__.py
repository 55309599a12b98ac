"""Images from lists to batches."""
from . import autoaugment as autoaugment  # registers its transform
