"""What several segmentation methods share."""
