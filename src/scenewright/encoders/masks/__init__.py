"""Object masks in the forms people have them: label pictures, folders, cut-outs, COCO files, prompts for SAM."""
