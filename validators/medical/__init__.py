"""The gates for sets of images and volumes."""
