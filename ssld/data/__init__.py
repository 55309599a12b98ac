"""Images from lists to batches."""
from . import autoaugment as autoaugment  # registers its transform
from . import colour as colour  # likewise
