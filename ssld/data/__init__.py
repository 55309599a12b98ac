"""Images from lists to batches."""
from . import autoaugment as autoaugment  # registers its transform
from . import colour as colour  # likewise
from . import randaugment as randaugment
from . import random_crop as random_crop
from . import random_erasing as random_erasing
from . import random_resized_crop as random_resized_crop
from . import three_augment as three_augment
