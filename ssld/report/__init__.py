"""One page that tells what curation, distillation and export came to, from the files that they left."""
