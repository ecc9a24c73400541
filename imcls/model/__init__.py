"""A classifier: head(neck(backbone(images))), put together from its options in one visible place."""
