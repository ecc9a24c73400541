"""Pages of imcls: what a run or an audit found, for people."""
