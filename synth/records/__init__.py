"""What domains share whose records are more than rows: images or scenes, each with a row in a listing."""
