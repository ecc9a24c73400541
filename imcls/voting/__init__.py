"""Many views, members and runs, one judgement: how they vote and with what weights."""
