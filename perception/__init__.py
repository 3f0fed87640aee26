"""What comes in: modalities, buffers, tokenizers and encoders."""
