"""Medical images: a private archive of images or volumes with a table that lists them (see :mod:`.plug`)."""
