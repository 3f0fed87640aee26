"""Many senses into one embedding, with memory."""
