"""Where images come from, and how they are split."""

from image_data.data_set import ImageData, load_image_data

__all__ = ["ImageData", "load_image_data"]
