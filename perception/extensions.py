"""The endings of file names that say what is in a file."""

IMAGES = frozenset(("bmp", "jpeg", "jpg", "png", "tif", "tiff", "webp"))
SOUNDS = frozenset(("aac", "aif", "aiff", "flac", "m4a", "mp3", "oga", "ogg", "opus", "wav"))
CLIPS = frozenset(("avi", "gif", "m4v", "mkv", "mov", "mp4", "webm"))
