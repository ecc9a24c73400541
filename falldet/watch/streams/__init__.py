"""One camera each: a thread that reads it, keeps the newest picture, and comes back when it was lost."""
