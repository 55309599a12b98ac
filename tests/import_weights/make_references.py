"""Writes what the tests compare with: what timm and torchvision answer with weights of seeded.py, and files of torch.save.

In an environment of its own (`pip install "torch==2.2.2" "torchvision==0.17.2" timm safetensors "numpy<2"`), from this folder:
    python make_references.py
"""
from __future__ import annotations

import argparse
import json
from collections import OrderedDict
from pathlib import Path

import seeded
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.models import beit, convnext, deit, mlp_mixer, regnet, resnet, swin_transformer, vision_transformer
from torch.nn import functional
from torchvision import models

HERE = Path(__file__).resolve().parent
CLASSES = 7
REAL = ("resnet18", "resnet50", "resnet50d", "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_tiny",
        "regnety_160", "beitv2_base_patch16_224", "mixer_s16_224", "mixer_b16_224", "eva_large_patch14_196")
_VIT = dict(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4, num_classes=CLASSES)
_MEAN = dict(class_token=False, no_embed_class=True, global_pool="avg", fc_norm=False)
_SWIN = dict(patch_size=4, embed_dim=16, depths=(2, 2, 2), num_heads=(1, 2, 4), num_classes=CLASSES)
_CNBLOCKS = ((8, 16, 1), (16, 24, 2), (24, 32, 1), (32, None, 1))


def networks() -> dict:
    """name -> (network, side of its pictures)."""
    small = dict(layers=[1, 2, 1, 1], num_classes=CLASSES)
    deep = dict(stem_width=32, stem_type="deep", avg_down=True)
    regnet_y = regnet.RegNetCfg(w0=16, wa=16.0, wm=1.8, group_size=8, depth=5, se_ratio=0.25)
    blocks = [models.convnext.CNBlockConfig(*setting) for setting in _CNBLOCKS]
    vit = models.VisionTransformer(32, 8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=128, num_classes=CLASSES)
    parameters = models.regnet.BlockParams.from_init_params(depth=5, w_0=16, w_a=16.0, w_m=1.8, group_width=8, se_ratio=0.25)
    return {
        "timm_resnet_basic": (resnet.ResNet(resnet.BasicBlock, **small), 64),
        "timm_resnet_bottleneck": (resnet.ResNet(resnet.Bottleneck, **small), 64),
        "timm_resnet_d_basic": (resnet.ResNet(resnet.BasicBlock, **small, **deep), 64),
        "timm_resnet_d_bottleneck": (resnet.ResNet(resnet.Bottleneck, **small, **deep), 64),
        "torchvision_resnet_basic": (models.ResNet(models.resnet.BasicBlock, **small), 64),
        "timm_vit": (vision_transformer.VisionTransformer(**_VIT), 32),
        "timm_deit_distilled": (deit.VisionTransformerDistilled(**_VIT), 32),
        "torchvision_vit": (vit, 32),
        "timm_swin": (swin_transformer.SwinTransformer(img_size=64, window_size=4, **_SWIN), 64),
        "torchvision_swin": (models.SwinTransformer(**{**_SWIN, "patch_size": [4, 4]}, window_size=[4, 4]), 64),
        "timm_convnext": (convnext.ConvNeXt(depths=(1, 2, 1, 1), dims=(8, 16, 24, 32), num_classes=CLASSES), 64),
        "torchvision_convnext": (models.ConvNeXt(blocks, num_classes=CLASSES), 64),
        "timm_regnet_y": (regnet.RegNet(regnet_y, num_classes=CLASSES), 64),
        "torchvision_regnet_y": (models.RegNet(parameters, num_classes=CLASSES), 64),
        "timm_beit": (beit.Beit(use_abs_pos_emb=False, use_rel_pos_bias=True, init_values=0.1, **_VIT), 32),
        "timm_vit_gap": (vision_transformer.VisionTransformer(**_VIT, **_MEAN), 32),
        "timm_mixer": (mlp_mixer.MlpMixer(num_classes=CLASSES, img_size=32, patch_size=8, num_blocks=3, embed_dim=32), 32),
        "timm_eva": (vision_transformer.VisionTransformer(**_VIT, global_pool="avg"), 32),
        "timm_eva_resized": (Resized(**_VIT, global_pool="avg", dynamic_img_size=True), 48),
        "timm_swin_96": (swin_transformer.SwinTransformer(img_size=96, window_size=4, **_SWIN), 96),
    }


class Resized(vision_transformer.VisionTransformer):
    """The positions of small images in large ones, interpolated as the released code of ScaleKD has it."""

    def _pos_embed(self, x: torch.Tensor) -> torch.Tensor:
        grid = self.pos_embed[:, 1:].reshape(1, 4, 4, -1).permute(0, 3, 1, 2)
        grid = functional.interpolate(grid, size=x.shape[1:3], mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
        class_token = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        return torch.cat([class_token, x.flatten(1, 2) + grid], 1)


def reference(network: torch.nn.Module, size: int) -> dict:
    """Names and shapes of the tensors, and the logits with weights of seeded.py."""
    state = network.state_dict()
    own = {name: torch.from_numpy(seeded.tensor(name, tuple(value.shape))) for name, value in state.items()
           if not name.endswith("relative_position_index")}
    network.load_state_dict({**state, **own})
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(seeded.images(size)))
    return {"size": size, "logits": logits.tolist(), "tensors": {name: list(value.shape) for name, value in state.items()}}


def write_files(folder: Path) -> None:
    """Small files as torch.save and safetensors write them."""
    torch.manual_seed(0)
    state = OrderedDict(weight=torch.arange(6.0).reshape(2, 3), bias=torch.tensor([0.5, -1.5]).half(),
                        turned=torch.arange(6.0).reshape(2, 3).t(), count=torch.tensor(3), brief=torch.arange(4.0).bfloat16())
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / "state.pth")
    torch.save(state, folder / "state_old.pth", _use_new_zipfile_serialization=False)
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "state.safetensors")
    layer = torch.nn.DataParallel(torch.nn.Linear(3, 2))
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    average = {name: value + 1 for name, value in layer.state_dict().items()}
    torch.save({"model": layer.state_dict(), "model_ema": average, "optimizer": optimizer.state_dict(), "epoch": 3,
                "args": argparse.Namespace(lr=0.1, out=Path("x").name)}, folder / "checkpoint.pth")
    torch.save(layer, folder / "whole_network.pth")


def main() -> None:
    made = {name: reference(*network) for name, network in networks().items()}
    text = json.dumps({"timm": timm.__version__, "torch": torch.__version__, "torchvision": torchvision.__version__, **made})
    (HERE / "references.json").write_text(text.replace('"tensors"', '\n "tensors"').replace("}, ", "},\n") + "\n")
    for name in REAL:
        with torch.device("meta"):
            state = timm.create_model(name).state_dict()
        lines = [f"{tensor} {'x'.join(map(str, value.shape))}\n" for tensor, value in state.items()]
        (HERE / "real").mkdir(exist_ok=True)
        (HERE / "real" / f"{name}.txt").write_text("".join(lines))
    write_files(HERE / "files")


if __name__ == "__main__":
    main()
