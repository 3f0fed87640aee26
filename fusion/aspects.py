"""What one can be told of a scene: of which things, and what of them."""

ROLES = 2
"""Things: the one itself, and the place to bring it to."""
ASPECTS = 3
"""What a description can name: a colour, a kind, a direction."""
