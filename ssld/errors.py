"""The exception for faults that the user can mend; the same class in both packages."""
from dedup.errors import InputError

__all__ = ["InputError"]
