"""Pictures in, pictures out: PIL and nothing heavier; knows no folders, no jobs, no models."""
