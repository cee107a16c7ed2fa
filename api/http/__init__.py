"""HTTP: requests, bodies, headers, responses, problems and middleware."""
