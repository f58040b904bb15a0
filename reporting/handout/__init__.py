"""What a trained network is handed out as: exports and a model card."""
