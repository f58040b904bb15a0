"""The evaluation of one network on its test images."""
