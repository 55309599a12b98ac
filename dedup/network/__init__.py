"""A network's features as a source of candidates, and the thresholds that go with them."""
