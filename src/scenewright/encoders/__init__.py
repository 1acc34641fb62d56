"""Images to condition tokens, depth and masks, with frozen pretrained networks."""
