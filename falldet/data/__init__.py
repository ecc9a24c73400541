"""Pictures with labelled people: formats, audit, augmentation, batches."""
