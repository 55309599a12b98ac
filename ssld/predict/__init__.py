"""What an exported network says about pictures: top classes by name, images per second."""
