"""Tables from records. No torch, no measuring; of the runner only the rooms that know neither torch nor MLflow."""
