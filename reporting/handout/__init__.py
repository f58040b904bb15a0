"""What accompanies a trained network: exports to other formats, and a model card."""
