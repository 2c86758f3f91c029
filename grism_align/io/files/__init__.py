"""Files written whole or not at all, and their checksums."""
