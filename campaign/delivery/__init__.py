"""A run. `run.run` puts its parts together; `pipeline.Pipeline` takes each recipient along one path."""
