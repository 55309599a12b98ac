"""ViT and DeiT: timm's and the authors' names are PaddleClas's; torchvision and OpenMMLab have their own."""
from __future__ import annotations

from collections.abc import Iterable

from . import OPENMMLAB, renamed

NETWORKS = ("vision_transformer.VisionTransformer", "distilled_vision_transformer.DistilledVisionTransformer",
            "vit.ViT")
_THEIRS, _OURS = r"encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."
_RULES = [(r"class_token", "cls_token"), (r"conv_proj", "patch_embed.proj"), (r"encoder\.pos_embedding", "pos_embed"),
          (_THEIRS + r"ln_(\d)", _OURS + r"norm\2"), (_THEIRS + r"self_attention\.in_proj_", _OURS + "attn.qkv."),
          (_THEIRS + r"self_attention\.out_proj", _OURS + "attn.proj"), (_THEIRS + r"mlp\.(?:0|linear_1)", _OURS + "mlp.fc1"),
          (_THEIRS + r"mlp\.(?:3|linear_2)", _OURS + "mlp.fc2"), (r"encoder\.ln", "norm"), (r"heads\.head", "head"), *OPENMMLAB]


def places(names: Iterable[str], network) -> dict[str, str | None]:
    """See ssld.import_weights.families."""
    return {name: renamed(name, _RULES) for name in names}
