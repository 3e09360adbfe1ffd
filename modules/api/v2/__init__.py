"""`/api/v2`: jobs with ids, what there is to make pictures with, the gallery, health and metrics."""
