"""dedup: is this the same picture? Finds edited copies of evaluation images in a pool of any size."""

__version__ = "0.2.0"

from .images import ImageError, read_colour
from .index import ReferenceIndex
from .match import Failure, Match, ShardResult, read_matches
from .options import Options
from .overrides import Overrides, read_overrides
from .remove import Progress, Removal, remove_copies
from .source import Source
from .within.groups import GroupOptions

__all__ = ["Failure", "GroupOptions", "ImageError", "Match", "Options", "Overrides", "Progress", "ReferenceIndex",
           "Removal", "ShardResult", "Source", "read_colour", "read_matches", "read_overrides", "remove_copies"]
