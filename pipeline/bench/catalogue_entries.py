"""What the catalogue holds: every method that a setting selects, its paper, and when to choose it."""

from __future__ import annotations

from dataclasses import dataclass, replace

_FROM_SCRATCH = (
    "detector.weights=none",
    "detector.batch_norm=group",
    "training.frozen_stages=0",
    "training.frozen_depthwise=false",
)
"""A network that starts from random weights: nothing is fixed, and no statistics are there to be used."""

_ENDED_BY_LOOKS = "training.plateau.enabled=true"


@dataclass(frozen=True)
class Entry:
    """One method.

    Attributes:
        kind: backbone, neck, norm, head or loss.
        name: Of the method.
        setting: `section.key=value` texts that select it.
        paper: Where it is from.
        when: When to choose it.
    """

    kind: str
    name: str
    setting: tuple[str, ...]
    paper: str
    when: str

    @property
    def structure(self) -> tuple[str, ...]:
        """The setting, for a network whose weights do not matter."""
        return (*self.setting, "detector.weights=none")

    @property
    def converged(self) -> Entry:
        """The method, trained for as long as held-back images say."""
        given = tuple(text for text in self.setting if text != _ENDED_BY_LOOKS)
        return replace(self, setting=(*given, _ENDED_BY_LOOKS))

    @property
    def from_scratch(self) -> Entry:
        """The method in a network that starts from random weights."""
        return replace(self, setting=(*_FROM_SCRATCH, *self.setting))


def _backbone(name: str, setting: str, paper: str, when: str) -> Entry:
    return Entry("backbone", name, (f"detector.backbone={setting}",), paper, when)


def _norm(kind: str, paper: str, when: str) -> Entry:
    return Entry("norm", kind, (f"detector.batch_norm={kind}",), paper, when)


def _training(kind: str, name: str, setting: str, paper: str, when: str) -> Entry:
    return Entry(kind, name, (setting,), paper, when)


_SCRATCH = "no ImageNet weights exist: for comparison, or thousands of labelled images"
BACKBONES = (
    _backbone("EfficientNet-Lite0", "tf_efficientnet_lite0", "arXiv 1905.11946", "the default: weights come along"),
    _backbone("ResNet-18", "resnet18", "arXiv 1512.03385", "a GPU, and a network that everybody knows"),
    _backbone("ResNet-50", "resnet50", "arXiv 1512.03385", "a GPU and some hundred labelled images"),
    _backbone("torchvision ResNet-50", "torchvision:resnet50", "arXiv 1512.03385", "COCO weights of a whole detector"),
    _backbone("ResNeXt-50", "resnext50_32x4d", "arXiv 1611.05431", "a little better than ResNet-50 for the same work"),
    _backbone("SE-ResNet-50", "seresnet50", "arXiv 1709.01507", "the same, by attention over channels"),
    _backbone("Res2Net-50", "res2net50_26w_4s", "arXiv 1904.01169", "objects of very different sizes"),
    _backbone("MobileNet v1", "mobilenetv1_100", "arXiv 1704.04861", "processors, where v2 is too slow"),
    _backbone("MobileNet v2", "mobilenetv2_100", "arXiv 1801.04381", "processors; ImageNet weights"),
    _backbone("MobileNet v3", "mobilenetv3_large_100", "arXiv 1905.02244", "processors, fewest multiply-adds"),
    _backbone("ShuffleNet v2", "torchvision:shufflenet_v2_x1_0", "arXiv 1807.11164", "processors and little memory"),
    _backbone("SqueezeNet", "torchvision:squeezenet1_1", "arXiv 1602.07360", "a model file of a few megabytes"),
    _backbone("DLA-34", "dla34", "arXiv 1707.06484", "small objects on a GPU"),
    _backbone("DLA-46-C", "dla46_c", "arXiv 1707.06484", "the same with few weights"),
    _backbone("TResNet-M", "tresnet_m", "arXiv 2003.13630", "a GPU that is to be kept busy"),
    _backbone("HRNet-W18", "hrnet_w18_small", "arXiv 1908.07919", "boxes that must fit closely"),
    _backbone("Xception-41", "xception41", "arXiv 1610.02357", "large images on a GPU"),
    _backbone("PNASNet-5", "pnasnet5large", "arXiv 1712.00559", "never with few labels; with drop path, a reference"),
    _backbone("NASNet-A", "nasnetalarge", "arXiv 1707.07012", "the same; the origin of scheduled drop path"),
    _backbone("ConvNeXt-Atto", "convnext_atto", "arXiv 2201.03545", "a GPU; depthwise 7 x 7 is slow on processors"),
    _backbone("ShuffleNet v1", "own:shufflenet_v1_x1_0", "arXiv 1707.01083", _SCRATCH),
    _backbone("HetConv ResNet-18", "own:hetconv_resnet18", "arXiv 1903.04120", _SCRATCH),
    _backbone("SCNet-50", "own:scnet50", "Liu et al., CVPR 2020", _SCRATCH),
    _backbone(
        "binary ResNet-18",
        "own:binary_resnet18",
        "BiDet, arXiv 2003.03961",
        "the far end of compression, for study: torch computes it in float, so that it is not faster; binary weights "
        "would take a thirty-second of the memory",
    ),
    Entry(
        "backbone",
        "dilated, output stride 16",
        ("detector.output_stride=16",),
        "arXiv 1511.07122",
        "small objects close together, where an input twice as large is too slow",
    ),
    Entry(
        "backbone",
        "drop path",
        ("detector.drop_path=0.2",),
        "arXiv 1603.09382, 1707.07012",
        "thousands of labelled images and deep bodies; short runs on few labels end before it helps",
    ),
)
NECKS = (
    Entry("neck", "feature pyramid", ("detector.strip_pooling=false",), "arXiv 1612.03144", "the default"),
    Entry("neck", "strip pooling", ("detector.strip_pooling=true",), "arXiv 2003.13328", "long, thin objects"),
)
NORMS = (
    _norm("frozen", "arXiv 1502.03167", "the default: pretrained weights and small batches"),
    _norm("synchronised", "arXiv 1711.07240", "many images per step over several GPUs"),
    _norm("group", "arXiv 1803.08494", "training from scratch with small batches"),
    _norm("layer", "arXiv 1607.06450", "a comparison to group; rarely better for convolutions"),
    _norm("instance", "arXiv 1607.08022", "images whose contrast differs much from each other"),
    _norm("switchable", "arXiv 1806.10779", "training from scratch, when nobody knows which kind serves; no ONNX"),
    _norm("moving_average", "arXiv 2001.06838", "training from scratch with one or two images per step"),
)
HEADS = (
    _training("head", "RetinaNet", "detector.architecture=retinanet", "arXiv 1708.02002", "the default"),
    Entry(
        "head",
        "RetinaNet, nine anchors",
        ("detector.anchors_per_place=9", "detector.head_shared=false", "training.assigner=iou"),
        "arXiv 1708.02002",
        "to continue from torchvision's weights",
    ),
    Entry(
        "head",
        "FCOS",
        ("detector.architecture=fcos", "detector.fpn_channels=96"),
        "arXiv 1904.01355",
        "objects of odd shapes, which no anchor resembles",
    ),
    _training(
        "head", "Faster R-CNN", "detector.architecture=faster_rcnn", "arXiv 1506.01497", "accuracy before speed; a GPU"
    ),
    Entry(
        "head",
        "Faster R-CNN, light",
        ("detector.architecture=faster_rcnn", "detector.roi_features=256", "detector.roi_proposals=100"),
        "arXiv 1506.01497, 1711.07264",
        "hardly ever: ahead of RetinaNet after as many steps, level or behind after as many minutes",
    ),
    Entry(
        "head",
        "Cascade R-CNN",
        ("detector.architecture=faster_rcnn", "detector.box_stages=3"),
        "arXiv 1712.00726, 1901.07518",
        "boxes that must fit closely, and a GPU: the best on bccd after 300 steps, for 14 times the work",
    ),
)
LOSSES = (
    _training("loss", "quality focal loss", "training.classification=quality_focal", "arXiv 2006.04388", "the default"),
    _training("loss", "focal loss", "training.classification=focal", "arXiv 1708.02002", "scores that say class alone"),
    _training("loss", "OHEM", "training.classification=ohem", "arXiv 1604.03540", "background that resembles objects"),
    _training("loss", "cross-entropy", "training.classification=cross_entropy", "-", "a baseline for the others"),
    _training("loss", "task-aligned assigner", "training.assigner=task_aligned", "arXiv 2108.07755", "the default"),
    _training("loss", "ATSS", "training.assigner=atss", "arXiv 1912.02424", "few, large classes of objects"),
    _training("loss", "GIoU loss", "training.box_loss=giou", "arXiv 1902.09630", "the default"),
    _training("loss", "DIoU loss", "training.box_loss=diou", "arXiv 1911.08287", "a comparison to GIoU"),
    _training("loss", "CIoU loss", "training.box_loss=ciou", "arXiv 1911.08287", "boxes whose shape matters"),
    _training("loss", "repulsion loss", "training.repulsion.enabled=true", "arXiv 1711.07752", "crowds of one class"),
    _training(
        "loss",
        "sparse object prior",
        "training.bottleneck.enabled=true",
        "BiDet, arXiv 2003.03961",
        "false positives of a binary body; with several objects of a class in an image it may cost some of them",
    ),
    _training("loss", "label smoothing off", "training.label_smoothing=0", "arXiv 1512.00567", "a single class"),
    _training("loss", "triplet batch-hard", "training.triplet.mining=batch_hard", "arXiv 1703.07737", "the default"),
    _training(
        "loss", "triplet batch-all", "training.triplet.mining=batch_all", "arXiv 1703.07737", "few boxes a batch"
    ),
    _training("loss", "triplet semi-hard", "training.triplet.mining=semi_hard", "arXiv 1503.03832", "noisy labels"),
    _training("loss", "no triplet loss", "training.triplet.enabled=false", "-", "class affinity is not used"),
    _training("loss", "no mixup", "training.mixup.enabled=false", "arXiv 1710.09412", "shorter runs"),
)
ENTRIES = (*BACKBONES, *NECKS, *NORMS, *HEADS, *LOSSES)
