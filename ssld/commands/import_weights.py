"""Turn weights of timm, torchvision or a network's authors into weights of ours: a teacher that you have already.

Reads safetensors files and what torch.save writes (.pth, .pt, .bin), without PyTorch and without running anything in them.
Every tensor finds its place, or the file is refused. Families: ResNet and ResNet-D, ViT and DeiT, Swin, ConvNeXt, RegNetY,
BEiTv2. The number of classes is that of the file's classifier.

Example:
  ssld import-weights resnet50.safetensors --name ResNet50 --out teacher.pdparams
  ssld import-weights vit_base_384.pth --name ViT_base_patch16_384 --part model --out teacher.pdparams
  ssld import-weights deit_96px.pth --name DeiT_tiny_patch16_224 -o img_size=96 --out teacher.pdparams
"""


def add_arguments(parser):
    parser.add_argument("file", metavar="FILE", help="safetensors file, or a file of torch.save")
    parser.add_argument("--name", required=True, metavar="NAME", help="network of ours, see ssld list backbones")
    parser.add_argument("--out", required=True, metavar="FILE", help="the .pdparams file to write")
    parser.add_argument("--class-num", type=int, metavar="C", help="classes, default: those of the file's classifier")
    parser.add_argument("--part", metavar="NAME", help="entry of a training checkpoint that holds several networks")
    parser.add_argument("-o", "--option", action="append", default=[], metavar="KEY=VALUE",
                        help="option of the network, such as img_size=384; may be repeated")


def run(args):
    from ..import_weights.run import import_weights, table

    mapped, network = import_weights(args.file, args.name, args.out, args.class_num, _options(args.option), args.part)
    settings = ", ".join(f"{key}: {value}" for key, value in network.items())
    print(f"{table(mapped)}\nwrote {args.out}; in a config: Arch.teacher: {{{settings}}}")


def _options(given: list) -> dict:
    import yaml

    from ..errors import InputError

    options = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not separator:
            raise InputError(f"-o {text}: expected KEY=VALUE.")
        options[key] = yaml.safe_load(value)
    return options
