"""HTTP: FastAPI, and only here. `server.create_app` puts it together, `guard` stands in front of all of it."""
