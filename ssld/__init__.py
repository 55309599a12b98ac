"""ssld: curate a heap of images, distill a strong teacher into a small student, and let the student out alone."""

__version__ = "0.7.0"
