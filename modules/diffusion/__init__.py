"""The maths: parts of a model in, pictures out. Knows no files and no page; `samplers` and `schedules` need no torch."""
