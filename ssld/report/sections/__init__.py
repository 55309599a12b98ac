"""The parts of the page, one per file: each turns what was read into charts and words."""
