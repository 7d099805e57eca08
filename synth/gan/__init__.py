"""The adversarial core: objectives, penalties, recipes and the one loop. Knows no domain."""
