"""Parts of a training: rays and targets, Adam, exposures, poses, what is seen, what is due when."""
