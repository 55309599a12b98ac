"""Networks: PaddleClas's backbones and our own, their weights and their parts."""
